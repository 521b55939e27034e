"""Exported policies: every format gives the policy's own actions, and plays without us."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest

from drac_jax.runs.export import numpy_file, onnx_file, policy_file
from drac_jax.runs.export.numpy_policy import Policy
from drac_jax.runs.export.program import trace
from drac_jax.runs.saved_agent import load_policy
from drac_jax.types import EnvSpec
from experiments.cli.main import main
from tests.support.saved_runs import save_run, small_agent
from tests.support.small_methods import DISTINCT

SPEC = EnvSpec("five", 5, 2, 1)
FORMATS = tuple(policy_file.SUFFIXES)
each_method = pytest.mark.parametrize("method", DISTINCT)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("runs") / "amortized", "amortized", seeds=2)


def latents_of(method, algorithm, key, count):
    """Draw as `act` does, flat."""
    leaves = jax.tree.leaves(algorithm.latent(key, (count,)))
    return np.concatenate([np.asarray(x, np.float32).reshape(count, -1) for x in leaves], axis=1)


@each_method
def test_act_decides_on_what_it_draws(method):
    algorithm, agent = small_agent(method, SPEC)
    obs, key = jnp.linspace(-1.0, 1.0, 35).reshape(7, 5), jax.random.key(3)
    latent = algorithm.latent(key, (7,))
    assert all(leaf.shape[0] == 7 for leaf in jax.tree.leaves(latent))
    assert len(algorithm.laws) == len(jax.tree.leaves(latent))
    assert (algorithm.act(agent, obs, key) == algorithm.decide(agent, obs, latent)).all()


@each_method
@pytest.mark.parametrize("to", FORMATS)
def test_every_format_gives_the_actions_that_the_method_draws(method, to, tmp_path):
    algorithm, agent = small_agent(method, SPEC)
    portable = policy_file.of_agent(algorithm, agent, SPEC, "sample")
    portable = portable._replace(about=portable.about | {"run": "test"})
    play = policy_file.write(portable, to, tmp_path / "policy")
    for count in (1, 6):
        obs = np.random.default_rng(count).normal(size=(count, 5)).astype(np.float32)
        key = jax.random.key(count)
        action = play(obs, latents_of(method, algorithm, key, count))
        np.testing.assert_allclose(action, algorithm.act(agent, obs, key), rtol=0, atol=1e-5)


@each_method
@pytest.mark.parametrize("to", FORMATS)
def test_every_format_gives_the_mode(method, to, tmp_path):
    algorithm, agent = small_agent(method, SPEC)
    portable = policy_file.of_agent(algorithm, agent, SPEC, "mode")
    portable = portable._replace(about=portable.about | {"run": "test"})
    play = policy_file.write(portable, to, tmp_path / "policy")
    assert policy_file.check(portable, play)[0] < 1e-5


@pytest.mark.parametrize("to", FORMATS)
def test_export_is_the_policy_that_is_loaded(run, to, tmp_path):
    done = policy_file.export(run, to, member=1, out=tmp_path / "policy")
    play = {"jax": policy_file.jax_file.player, "onnx": onnx_file.player, "numpy": Policy}[to]
    obs = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    key = jax.random.key(4)
    latent = np.asarray(jax.random.uniform(key, (5, 4)))
    action = np.asarray(play(done.path)(obs, latent))
    np.testing.assert_allclose(action, load_policy(run, 1)(obs, key), rtol=0, atol=1e-5)
    assert np.abs(action - load_policy(run, 0)(obs, key)).max() > 1e-3


PLAY_ALONE = """
import sys
for name in ("drac_jax", "jax", "jaxlib", "flax", "experiments", "envs"):
    sys.modules[name] = None
import numpy as np
from numpy_policy import Policy
policy = Policy("policy.npz")
rng = np.random.default_rng(0)
for n in (1, 3):
    action = policy(np.zeros((n, 2)), policy.draw(rng, n))
    assert action.shape == (n, 2) and action.dtype == np.float32 and abs(action).max() <= 1
print(policy.about["environment"])
"""


def test_numpy_export_plays_where_nothing_but_numpy_is_installed(run, tmp_path):
    policy_file.export(run, "numpy", out=tmp_path / "policy.npz")
    done = subprocess.run(
        [sys.executable, "-c", PLAY_ALONE], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("multigoal", "")


def test_numpy_loader_is_a_page():
    assert len(numpy_file.LOADER.read_text().splitlines()) <= 40


def test_loader_draws_by_the_law_of_each_latent(tmp_path):
    algorithm, agent = small_agent("s2ac", SPEC)
    portable = policy_file.of_agent(algorithm, agent, SPEC, "sample")
    policy = policy_file.write(portable, "numpy", tmp_path / "policy")
    drawn = policy.draw(np.random.default_rng(0), 20_000)
    noise, choice = drawn[:, :-1], drawn[:, -1]
    assert np.abs(noise).max() <= 3.0
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 0.9866) < 0.01  # of a normal cut at 3
    assert np.unique(choice, return_counts=True)[0].tolist() == [0, 1, 2, 3]
    policy.about["latent"] = [["uniform", 0.0, 1.0, 3], ["normal", None, None, 2]]
    drawn = policy.draw(np.random.default_rng(0), 20_000)
    assert drawn[:, :3].min() >= 0.0 and drawn[:, :3].max() <= 1.0
    assert abs(drawn[:, :3].mean() - 0.5) < 0.01 and abs(drawn[:, 3:].std() - 1.0) < 0.01


def test_every_format_carries_what_is_known_of_the_policy(run, tmp_path):
    known = []
    for to in FORMATS:
        done = policy_file.export(run, to, out=tmp_path / f"policy.{to}")
        if to == "onnx":
            properties = onnx.load(done.path).metadata_props
            known.append({each.key: json.loads(each.value) for each in properties})
        elif to == "numpy":
            known.append(Policy(done.path).about)
        else:
            known.append(json.loads(done.path.with_suffix(".json").read_text()))
    assert known[0] == known[1] == known[2]
    assert known[0]["latent"] == [["uniform", 0.0, 1.0, 4]]
    wanted = {"environment": "multigoal", "obs_size": 2, "action_bounds": [-1.0, 1.0]}
    wanted |= {"latent_size": 4, "method": "amortized", "member": 0, "mode": "sample"}
    assert wanted.items() <= known[0].items()
    assert known[0]["versions"]["jax"] == jax.__version__


def test_policy_trained_in_bfloat16_is_exported_in_float32(tmp_path):
    run = save_run(tmp_path / "run", "amortized", precision="bfloat16")
    done = policy_file.export(run, "numpy")
    obs, key = np.ones((4, 2), np.float32), jax.random.key(0)
    action = Policy(done.path)(obs, np.asarray(jax.random.uniform(key, (4, 4))))
    assert 1e-7 < np.abs(action - load_policy(run)(obs, key)).max() < 2e-2


def test_layer_norm_and_scaled_observations_are_part_of_the_export():
    algorithm, agent = small_agent("amortized", SPEC, layer_norm=True)
    scaled = algorithm._replace(
        decide=lambda agent, obs, z: algorithm.decide(agent, (obs - 0.5) / 2.0, z),
        act=lambda agent, obs, key: algorithm.act(agent, (obs - 0.5) / 2.0, key),
    )
    portable = policy_file.of_agent(scaled, agent, SPEC, "sample")
    play = run_of(trace(portable.function, portable.sizes))
    assert policy_file.check(portable, play)[0] < 1e-5


def run_of(program):
    """Play a program by the loader, without a file."""
    policy = Policy.__new__(Policy)
    policy.known, policy.output = program.constants, program.output
    policy.steps = [tuple(step) for step in program.steps]
    return policy


def with_columns(method):
    """Make an algorithm whose actor sees the columns 1 to 3 and whose critic sees all."""
    narrow, agent = small_agent(method, SPEC._replace(obs_size=3))
    seen = narrow._replace(
        decide=lambda agent, obs, z: narrow.decide(agent, obs[:, 1:4], z),
        act=lambda agent, obs, key: narrow.act(agent, obs[:, 1:4], key),
        mode=lambda agent, obs: narrow.mode(agent, obs[:, 1:4]) * jnp.sign(obs[:, :1]),
    )
    return seen, agent, SPEC._replace(actor_obs=(1, 4))


def test_export_takes_the_columns_that_the_actor_sees():
    algorithm, agent, spec = with_columns("sac")
    portable = policy_file.of_agent(algorithm, agent, spec, "sample")
    assert portable.sizes == [3, 2] and portable.about["obs_columns"] == [1, 4]
    play = run_of(trace(portable.function, portable.sizes))
    assert policy_file.check(portable, play)[0] < 1e-5


def test_export_takes_all_columns_where_a_critic_helps_to_decide():
    algorithm, agent, spec = with_columns("sac")
    portable = policy_file.of_agent(algorithm, agent, spec, "mode")
    assert portable.sizes == [5] and portable.about["obs_columns"] == [0, 5]


@pytest.mark.parametrize("to", FORMATS)
def test_export_with_other_actions_is_refused_and_leaves_nothing(run, to, tmp_path, monkeypatch):
    load = policy_file.load

    def wrong(*asked):
        portable = load(*asked)
        return portable._replace(function=lambda obs, z: 0.99 * portable.function(obs, z))

    monkeypatch.setattr(policy_file, "load", wrong)
    with pytest.raises(ValueError, match="differ from the policy's"):
        policy_file.export(run, to, out=tmp_path / "policy")
    assert not list(tmp_path.iterdir())


def test_primitive_that_is_not_known_is_named():
    with pytest.raises(ValueError, match="computes 'cosh'"):
        trace(lambda obs: jnp.cosh(obs), [3])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("NOWHERE --to numpy", "has no config.json"),
        ("UNTRAINED --to numpy", "there is no checkpoint"),
        ("RUN --to tflite", "tflite"),
        ("RUN", "--to"),
        ("--to numpy", "needs the folder of a run"),
        ("RUN --to numpy --member 2", "member=2 must be in 0..1"),
        ("RUN --to numpy --member -1", "--member=-1"),
        ("RUN --to numpy --out TAKEN", "exists; choose another with --out, or use --force"),
        ("RUN --to numpy --out TAKEN/policy.npz", "cannot write"),
    ],
)
def test_bad_input_is_refused_in_one_line(run, words, named, tmp_path, capsys):
    (tmp_path / "taken").write_text("mine")
    untrained = tmp_path / "untrained"
    untrained.mkdir()
    (untrained / "config.json").write_text((run / "config.json").read_text())
    places = {"RUN": run, "NOWHERE": tmp_path, "UNTRAINED": untrained, "TAKEN": tmp_path / "taken"}
    for name, place in places.items():
        words = words.replace(name, str(place)) if name != "RUN" else words
    words = words.replace("RUN", str(run))
    assert main(["export", *words.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert named in said
    assert (tmp_path / "taken").read_text() == "mine"
    assert sorted(path.name for path in untrained.iterdir()) == ["config.json"]


def test_force_writes_over_what_exists(run, tmp_path, capsys):
    (tmp_path / "policy.npz").write_text("old")
    words = ["export", str(run), "--to", "numpy", "--out", str(tmp_path / "policy.npz"), "--force"]
    assert main(words) == 0
    assert "largest error of an action" in capsys.readouterr().out
    assert Policy(tmp_path / "policy.npz").about["method"] == "amortized"


def test_missing_extra_is_named_with_its_remedy(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["export", str(run), "--to", "onnx"]) == 2
    said = capsys.readouterr().err
    assert "onnxruntime" in said and "pip install 'drac_jax[export]'" in said
