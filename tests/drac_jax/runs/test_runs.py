"""Whole runs through the command line: what they leave, and that nothing of it is lost."""

import json
import re
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.runs.saved_agent import (
    config_of,
    load_agent,
    load_policy,
    load_post_mortem,
    read_identity,
)
from drac_jax.runs.setup.run_setup import abstract_state, prepare
from drac_jax.runs.setup.run_setup import identity as setup_identity
from drac_jax.runs.storage.checkpoint import Checkpoints
from experiments import find
from tests.support.commands import (
    BATCH,
    ENV_STEPS,
    EPOCHS,
    SEEDS,
    TINY,
    Outcome,
    command,
    damage,
    only_run_in,
    records_of,
    saved_arrays,
    saved_epochs,
    signal_when,
    start,
    summary_of,
    without_times,
)

pytestmark = pytest.mark.heavy


class Hardship(NamedTuple):
    """The same run stopped by Ctrl-C, resumed, killed, its newest checkpoint damaged, resumed."""

    folder: Path
    stopped: Outcome
    saved_when_stopped: list[int]
    killed: Outcome
    saved_when_killed: list[int]
    resumed: Outcome


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory) -> Hardship:
    runs = tmp_path_factory.mktemp("disturbed")
    stopped = signal_when(
        start(*TINY, "--runs-dir", runs),
        lambda: any(path.stat().st_size for path in runs.glob("*/*/metrics.jsonl")),
        signal.SIGINT,
    )
    folder = only_run_in(runs)
    before = saved_epochs(folder)
    killed = signal_when(
        start("run", "--resume", folder),
        lambda: saved_epochs(folder)[-1:] > before[-1:],
        signal.SIGKILL,
    )
    after = saved_epochs(folder)
    assert not (folder / "summary.json").exists(), "it came too late to be killed"
    damage(folder / "checkpoints" / str(after[-1]))
    resumed = command("run", "--resume", folder)
    return Hardship(folder, stopped, before, killed, after, resumed)


def test_run_leaves_its_files(finished):
    folder, said = finished
    names = ["config.json", "metrics.jsonl", "summary.json", "episodes.npz"]
    for name in (*names, "curves.png", "trajectories.png"):
        assert (folder / name).stat().st_size > 0
        assert name in said or not name.endswith(".png")
    assert saved_epochs(folder) == [EPOCHS - 1, EPOCHS]
    assert json.loads((folder / "config.json").read_text())["config"]["seeds"] == SEEDS


def test_metrics_hold_one_record_per_seed_and_epoch(finished):
    records = records_of(finished.folder)
    asked = [(epoch, seed) for epoch in range(1, EPOCHS + 1) for seed in range(SEEDS)]
    assert [(record["epoch"], record["seed"]) for record in records] == asked
    assert records[-1]["env_steps"] == ENV_STEPS
    steps = [record["env_steps"] for record in records[::SEEDS]]
    assert steps == sorted(set(steps))
    names = {"critic/loss", "actor/diversity", "alpha/value", "eval/return", "train/episodes"}
    assert all(names <= record.keys() for record in records)


def test_summary_holds_what_is_compared_between_runs(finished):
    summary = summary_of(finished.folder)
    assert summary["experiment"] == "multigoal_amortized"
    assert [result["seed"] for result in summary["seeds"]] == list(range(SEEDS))
    measures = {"return", "reachable_modes", "multi_goal_score", "arrival_rate"}
    measures |= {"removal_sr5", "obstacle_sr5"}
    for result in summary["seeds"]:
        assert {f"eval/{name}" for name in measures} <= result.keys()
    speeds = {"compile_s", "train_s", "env_steps_per_s", "updates_per_s"}
    assert all(summary["timings"][name] > 0.0 for name in speeds)
    assert {"python", "jax", "flax", "optax"} <= summary["versions"].keys()


def test_saved_policy_samples_actions_for_one_or_many_observations(finished):
    policy = load_policy(finished.folder, member=1)
    one = policy(jnp.zeros(2), jax.random.key(0))
    many = policy(jnp.zeros((50, 2)), jax.random.key(0))
    assert one.shape == (2,)
    assert many.shape == (50, 2)
    assert (jnp.abs(many) <= 1.0).all()
    assert len(np.unique(many, axis=0)) == 50
    other = load_policy(finished.folder, member=0)
    assert (other(jnp.zeros(2), jax.random.key(0)) != one).any()


def test_saved_policy_refuses_obs_of_another_size(finished):
    policy = load_policy(finished.folder)
    for obs in (jnp.zeros(3), jnp.zeros((4, 3)), jnp.zeros(())):
        with pytest.raises(
            ValueError, match=r"takes obs \[2\] or \[N, 2\] of multigoal_linf_dense, not"
        ):
            policy(obs, jax.random.key(0))


def test_member_that_the_run_has_not_is_refused(finished):
    with pytest.raises(ValueError, match=r"member=2 must be in 0\.\.1"):
        load_policy(finished.folder, member=2)


def test_saved_run_is_evaluated_with_other_values(finished):
    folder, _ = finished
    outcome = command("evaluate", folder, "--eval.final-episodes", 6, "--env.obstacles")
    assert outcome.code == 0, outcome.said
    (place,) = (folder / "evaluations").glob("*/*")
    summary = summary_of(place)
    assert summary["epoch"] == EPOCHS
    assert [result["seed"] for result in summary["seeds"]] == list(range(SEEDS))
    assert summary["config"]["eval"]["final_episodes"] == 6
    assert (place / "trajectories.png").stat().st_size > 0


def test_evaluation_keeps_what_was_trained(finished):
    outcome = command("evaluate", finished.folder, "--hparams.beta", 0.3)
    assert outcome.code == 2
    assert "--hparams.beta: only env and eval can differ from training" in outcome.said


def test_robustness_needs_a_maze(finished):
    outcome = command("robustness", finished.folder)
    assert outcome.code == 2
    assert "multigoal_amortized has no maps to perturb" in outcome.said


def test_resumed_run_keeps_its_config(finished):
    outcome = command("run", "--resume", finished.folder, "--train.batch-size", 64)
    assert outcome.code == 2
    assert f"train.batch_size={BATCH}, not 64" in outcome.said
    outcome = command("run", "pointmaze_simple_amortized", "--resume", finished.folder)
    assert outcome.code == 2
    assert "run of experiment 'multigoal_amortized'" in outcome.said


def test_ctrl_c_saves_and_says_how_to_go_on(disturbed):
    assert disturbed.stopped.code == 130
    assert disturbed.saved_when_stopped != []
    assert f"--resume {disturbed.folder}" in disturbed.stopped.said.replace("\n", "")
    assert "Traceback" not in disturbed.stopped.said


def test_resumed_run_says_where_it_goes_on(disturbed):
    assert disturbed.killed.code == -signal.SIGKILL
    epoch = disturbed.saved_when_stopped[-1]
    assert f"after epoch {epoch} of {EPOCHS}" in disturbed.killed.said


def test_damaged_checkpoint_is_named_and_the_one_before_it_used(disturbed):
    *_, before, newest = disturbed.saved_when_killed
    assert disturbed.resumed.code == 0, disturbed.resumed.said
    assert f"checkpoint {newest} is damaged" in disturbed.resumed.said
    assert f"after epoch {before} of {EPOCHS}" in disturbed.resumed.said


def test_disturbed_run_ends_as_the_undisturbed_one_bit_for_bit(finished, disturbed):
    folder, _ = finished
    assert summary_of(disturbed.folder)["seeds"] == summary_of(folder)["seeds"]
    ours, theirs = records_of(disturbed.folder), records_of(folder)
    assert without_times(ours) == without_times(theirs)
    assert saved_epochs(disturbed.folder) == saved_epochs(folder)
    pairs = zip(saved_arrays(disturbed.folder, EPOCHS), saved_arrays(folder, EPOCHS), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


def test_disturbed_run_has_the_best_agents_of_the_undisturbed_one(finished, disturbed):
    assert summary_of(disturbed.folder)["best"] == summary_of(finished.folder)["best"]
    for member in range(SEEDS):
        ours, theirs = (
            jax.tree.leaves(load_agent(folder, member, best=True)[1])
            for folder in (disturbed.folder, finished.folder)
        )
        assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))


@pytest.fixture
def about_to_diverge(finished, tmp_path) -> Path:
    """The finished run one epoch before its end, its critics so large that a square overflows."""
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    (folder / "summary.json").unlink()
    identity = read_identity(folder)
    experiment = find(identity["experiment"])
    setup, _ = prepare(experiment, config_of(experiment, identity), identity["preset"])
    checkpoints = Checkpoints(folder / "checkpoints")
    state, _ = checkpoints.restore(EPOCHS - 1, (abstract_state(setup), None))
    for epoch in checkpoints.numbers():
        checkpoints.drop(epoch)
    huge = jax.tree.map(lambda x: 1e10 * x, state.agent.critic.params)
    critic = state.agent.critic._replace(params=huge)
    state = state._replace(agent=state.agent._replace(critic=critic))
    checkpoints.save(EPOCHS - 1, (state, None), setup_identity(setup))
    return folder


def test_loss_that_overflows_stops_the_run_and_keeps_the_last_good_checkpoint(about_to_diverge):
    outcome = command("run", "--resume", about_to_diverge)
    assert outcome.code == 2
    named = rf"error: \w+/\w+ of seed 0 became -?(inf|nan) in epoch {EPOCHS}; the last good checkp"
    assert re.search(named, outcome.said), outcome.said
    assert saved_epochs(about_to_diverge) == [EPOCHS - 1]
    assert records_of(about_to_diverge)[-1]["epoch"] == EPOCHS - 1
    assert not (about_to_diverge / "summary.json").exists()
    reproduces_what_broke(about_to_diverge, outcome.said)


def reproduces_what_broke(folder: Path, said: str) -> None:
    """Take the kept update again: what was named first is not finite, and the agent before is."""
    mortem = load_post_mortem(folder)
    assert f"see {folder / 'post_mortem'}" in said
    first = mortem.report.split("first: ")[1].splitlines()[0]
    assert first in said
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((mortem.agent, mortem.batch)))
    agent, metrics = jax.jit(mortem.update)(mortem.agent, mortem.batch, mortem.key)
    if first.startswith("agent"):
        broken = {
            f"agent{jax.tree_util.keystr(p)}": x
            for p, x in jax.tree_util.tree_leaves_with_path(agent)
        }
        assert not np.isfinite(broken[first.split(" became")[0]]).all()
    else:
        assert not np.isfinite(metrics[first.split(" became")[0]])
    least = float(mortem.batch.reward.min())
    assert f"reward: {least:.6g} to" in mortem.report


def test_loss_that_breaks_down_at_once_leaves_nothing_to_resume_and_says_so(tmp_path):
    outcome = command(*TINY, "--runs-dir", tmp_path, "--hparams.critic-lr", "1e30")
    assert outcome.code == 2
    named = r"error: \w+/\w+ of seed 0 became -?(inf|nan) in epoch 1; nothing was saved"
    assert re.search(named, outcome.said), outcome.said
    assert saved_epochs(only_run_in(tmp_path)) == []
    reproduces_what_broke(only_run_in(tmp_path), outcome.said)
