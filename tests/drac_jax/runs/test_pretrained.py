"""The policies that come with the package, and how one is made of a run."""

import json
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax import load_policy
from drac_jax.algorithms.registry import METHODS
from drac_jax.runs import saved_agent, saved_run
from drac_jax.runs.pretrained import pack_run, shipped
from drac_jax.runs.storage import packed_agent
from drac_jax.types import EnvSpec
from experiments import find
from tests.support.commands import TINY, command, only_run_in
from tests.support.small_methods import DISTINCT

MOST_BYTES = 5_000_000  # of all of them together
NAMES = shipped.names()
SPEC = EnvSpec("toy", 3, 2, 10)


def folder_of(name: str):
    return shipped.place(f"{shipped.PREFIX}{name}")


def test_there_are_policies_and_they_are_small():
    mazes = {f"pointmaze_{layout}_amortized" for layout in ("simple", "medium", "hard")}
    others = {"multigoal_amortized", "multigoal_flow", "hopper_amortized"}
    assert mazes | others <= set(NAMES)
    files = [path for name in NAMES for path in folder_of(name).iterdir()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_policy_acts_from_the_package_alone(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    policy = load_policy(f"pretrained:{name}")
    spec = saved_agent.read_identity(folder_of(name))["spec"]
    obs = jax.random.normal(jax.random.key(0), (64, spec["obs_size"]))
    actions = np.asarray(policy(obs, jax.random.key(1)))
    assert actions.shape == (64, spec["action_size"])
    assert (np.abs(actions) <= 1.0).all() and actions.std(axis=0).min() > 0.01
    assert np.array_equal(actions, policy(obs, jax.random.key(1)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_file_has_what_is_acted_upon_and_no_more(name):
    folder = folder_of(name)
    algorithm, agent = saved_agent.load_agent(folder, 0)
    size = saved_agent.read_identity(folder)["spec"]["obs_size"]
    with np.load(folder / packed_agent.NAME) as file:
        assert set(file.files) == pack_run.acted_upon(algorithm, agent, size)


def test_a_policy_of_the_package_is_exported_beside_the_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = command("export", "pretrained:multigoal_flow", "--to", "numpy")
    assert outcome.code == 0, outcome.said
    files = tmp_path / "runs" / "pretrained" / "multigoal_flow" / "export"
    assert {path.name for path in files.iterdir()} == {"member_0_sample.npz", "numpy_policy.py"}
    assert not (folder_of("multigoal_flow") / "export").exists()


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_policy_reaches_what_its_source_says(name):
    folder = folder_of(name)
    source = json.loads((folder / shipped.SOURCE).read_text())
    identity = saved_agent.read_identity(folder)
    experiment = find(identity["experiment"])
    env = experiment.make_env(saved_agent.config_of(experiment, identity).env, False)
    expected = source["expected"]
    played = saved_run.play(folder, env, 0, expected["episodes"], seed=7)
    low, high = expected["return"]
    assert low <= played.returns.mean() <= high
    assert len(set(played.goals[played.goals > 0].tolist())) >= expected["goals"]
    assert expected["goals"] >= 1 or not env.spec.num_goals
    assert source["command"] and source["versions"]["jax"]


def test_unknown_policy_is_answered_with_the_nearest():
    said = re.escape("pretrained:pointmaze_simpel is unknown; nearest: pointmaze_simple_amortized")
    with pytest.raises(ValueError, match=said):
        load_policy("pretrained:pointmaze_simpel")


@pytest.mark.parametrize("method", DISTINCT)
def test_what_is_left_out_changes_no_action(method):
    options = replace(METHODS[method].options, hidden=(8, 8))
    algorithm = METHODS[method].make(SPEC, options)
    agent = algorithm.init(jax.random.key(0), METHODS[method].hparams, SPEC.obs_size)
    kept = pack_run.acted_upon(algorithm, agent, SPEC.obs_size)
    every = packed_agent.leaves(agent)
    assert kept < set(every)
    assert not [name for name in kept if "adam" in name or "target" in name]
    ruined = jax.tree.unflatten(
        jax.tree.structure(agent),
        [x if name in kept else jnp.full_like(x, jnp.nan) for name, x in every.items()],
    )
    obs, key = jnp.ones((2, SPEC.obs_size)), jax.random.key(1)
    act, mode = jax.jit(algorithm.act), jax.jit(algorithm.mode)
    assert np.array_equal(act(agent, obs, key), act(ruined, obs, key))
    assert np.array_equal(mode(agent, obs), mode(ruined, obs))


def test_file_of_other_networks_is_refused(tmp_path):
    packed_agent.write(tmp_path / "agent.npz", {"w": jnp.ones(3)}, {"['w']"})
    like = {"w": jax.ShapeDtypeStruct((1, 4), jnp.float32)}
    with pytest.raises(ValueError, match="fits no such network"):
        packed_agent.read(tmp_path / "agent.npz", like)


@pytest.mark.slow
def test_packed_member_acts_as_in_its_run_and_can_be_played_again(tmp_path, monkeypatch):
    assert command(*TINY, "--grid.beta", 0.5, 0.6, "--runs-dir", tmp_path / "runs").code == 0
    run = only_run_in(tmp_path / "runs")
    asked = pack_run.Pack(run, "make run", "tiny", 3, tmp_path / "shipped")
    assert pack_run.pack(asked) == tmp_path / "shipped" / "tiny"
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "shipped")
    obs, key = jnp.ones((5, 2)), jax.random.key(0)
    packed = load_policy("pretrained:tiny")
    assert np.array_equal(packed(obs, key), load_policy(run, member=3)(obs, key))
    assert not np.array_equal(packed(obs, key), load_policy(run, member=2)(obs, key))
    config = saved_agent.read_identity(tmp_path / "shipped" / "tiny")["config"]
    assert (config["seed"], config["seeds"], config["hparams"]["beta"]) == (1, 1, 0.6)
    monkeypatch.chdir(tmp_path)
    outcome = command("evaluate", "pretrained:tiny", "--eval.final-episodes", 8)
    assert outcome.code == 0, outcome.said
    assert list((tmp_path / "runs" / "pretrained" / "tiny" / "evaluations").rglob("*.png"))
    assert not (tmp_path / "shipped" / "tiny" / "evaluations").exists()
