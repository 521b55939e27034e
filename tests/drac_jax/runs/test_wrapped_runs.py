"""Whole runs with normalisation, clipping and a schedule, and of an actor that sees a part."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.actors import amortized
from drac_jax.algorithms.registry import METHODS
from drac_jax.runs import saved_agent
from drac_jax.runs.execution import pace
from drac_jax.runs.execution.runner import Run
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.experiment import EvalConfig, Experiment, RunConfig
from drac_jax.runs.storage.console import Reporter
from drac_jax.training.schedule import TrainConfig
from drac_jax.training.wrappers import normalization
from envs import batch
from tests.support.commands import (
    ENV_STEPS,
    EPOCHS,
    SEEDS,
    TINY,
    command,
    only_run_in,
    records_of,
    saved_arrays,
    without_times,
)
from tests.support.small_methods import small_options
from tests.support.toys import half_seen

pytestmark = pytest.mark.slow

EVERYTHING = [
    *("--train.normalize-obs", "--train.normalize-reward", "--train.reward-scale", "0.5"),
    *("--train.max-grad-norm", "1.0", "--train.lr-schedule", "linear", "--train.lr-warmup", "20"),
]


class Pair(NamedTuple):
    """The same run, undisturbed, and stopped within an epoch and resumed."""

    whole: Path
    resumed: Path


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Pair:
    places = [tmp_path_factory.mktemp(name) for name in ("whole", "resumed")]
    assert command(*TINY, *EVERYTHING, "--runs-dir", places[0]).code == 0
    took, seen = pace.Pace.took, []

    def stop_at_70(self: pace.Pace, strides: int, seconds: float) -> None:
        took(self, strides, seconds)
        seen.append(strides)
        if len(seen) == 70:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "SECONDS", 0.0)
        patch.setattr(pace.Pace, "took", stop_at_70)
        stopped = command(*TINY, *EVERYTHING, "--runs-dir", places[1])
    assert stopped.code == 130, stopped.said
    whole, resumed = map(only_run_in, places)
    again = command("run", "--resume", resumed)
    assert again.code == 0, again.said
    assert "after epoch 1 of 6 and 9 iterations" in again.said
    return Pair(whole, resumed)


def test_a_resumed_run_with_everything_on_is_the_undisturbed_one_bit_for_bit(pair):
    assert without_times(records_of(pair.resumed)) == without_times(records_of(pair.whole))
    arrays = [saved_arrays(folder, EPOCHS) for folder in pair]
    assert all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))


def test_the_schedule_ends_with_the_budget(pair):
    """An epoch is 61 updates, and its record has the mean of their factors."""
    counts = np.arange(61 * EPOCHS).reshape(EPOCHS, 61)
    factors = np.where(counts < 20, counts / 20, (counts[-1, -1] + 1 - counts) / (counts.size - 20))
    recorded = [record["schedule/lr_factor"] for record in records_of(pair.whole)[::SEEDS]]
    np.testing.assert_allclose(recorded, factors.mean(axis=1), rtol=1e-5)


def test_the_saved_policy_normalises_observations_as_training_did(pair):
    policy = saved_agent.load_policy(pair.whole, member=1)
    _, agent = saved_agent.load_agent(pair.whole, member=1)
    assert float(agent.obs.weight) == ENV_STEPS
    obs, key = jax.random.uniform(jax.random.key(0), (50, 2)), jax.random.key(1)
    seen = normalization.standardize(agent.obs, obs)
    assert (jnp.abs(seen - obs) > 0.1).any()
    actor = amortized(2, 4, (16, 16))  # of TINY
    within = agent
    while not hasattr(within, "actor"):
        within = within.agent
    action = actor.apply(within.actor.params, seen, actor.latent(key, (50,)))
    np.testing.assert_allclose(policy(obs, key), action, rtol=1e-4, atol=1e-5)


def test_a_run_with_everything_on_is_evaluated(pair):
    outcome = command("evaluate", pair.whole, "--eval.final-episodes", 3, "--eval.sr5-groups", 1)
    assert outcome.code == 0, outcome.said


@dataclass(frozen=True)
class NoOptions:
    """Options of a task that has none."""


def half_seeing_run(method: str, folder: Path) -> Path:
    """Train a method on `half_seen`, briefly."""
    config: RunConfig = RunConfig(
        env=NoOptions(),
        algorithm=small_options(method),
        hparams=METHODS[method].hparams,
        train=TrainConfig(env_steps=24, batch_size=8, learning_starts=8, epochs=1),
        eval=EvalConfig(episodes=2, final_episodes=2),
    )
    experiment = Experiment(
        name="half_seen",
        summary="",
        method=method,
        make_env=lambda options, obstacles: batch(half_seen()),
        presets={"default": config},
    )
    setup, _ = run_setup.prepare(experiment, config, "default")
    Run(setup, folder, Reporter()).start()
    return folder


def test_the_policy_of_an_actor_that_sees_a_part_takes_that_part_or_all(tmp_path):
    policy = saved_agent.load_policy(half_seeing_run("sac", tmp_path))
    obs, key = jax.random.uniform(jax.random.key(0), (5, 3)), jax.random.key(1)
    np.testing.assert_array_equal(policy(obs, key), policy(obs[:, :2], key))
    assert policy(obs[0, :2], key).shape == (1,)
    said = r"takes obs \[3\] or \[N, 3\] of half_seen \(or the actor's columns 0:2 of it\), not"
    with pytest.raises(ValueError, match=said):
        policy(obs[:, :1], key)


def test_a_policy_that_acts_with_its_critics_asks_for_the_whole_observation(tmp_path):
    policy = saved_agent.load_policy(half_seeing_run("s2ac", tmp_path))
    obs, key = jnp.zeros((5, 3)), jax.random.key(1)
    assert policy(obs, key).shape == (5, 1)
    said = r"s2ac acts with its critics, .*: give the whole obs \[3\], not \[5, 2\]"
    with pytest.raises(ValueError, match=said):
        policy(obs[:, :2], key)


def test_dacers_own_reward_scale_is_not_multiplied_by_another():
    outcome = command("run", "multigoal_dacer", "--train.reward-scale", 0.1, "--dry-run")
    assert outcome.code == 2
    said = "error: train.reward_scale=0.1 would multiply hparams.reward_scale=0.2, which dacer has"
    assert said in outcome.said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--train.reward-scale", 0], "train.reward_scale=0 must be above 0"),
        (["--train.max-grad-norm", -1], "train.max_grad_norm=-1 must be at least 0"),
        (["--train.lr-final", 2], "train.lr_final=2 must be in [0, 1]"),
        (["--train.lr-warmup", -1], "train.lr_warmup=-1 must be at least 0"),
        (["--train.lr-warmup", 10**6], "lr_warmup=1000000 must be below 19740, the updates of"),
    ],
)
def test_values_that_cannot_be_are_refused_in_a_line(words, said):
    outcome = command("run", "multigoal_amortized", *words, "--dry-run")
    assert outcome.code == 2
    assert f"error: {said}" in outcome.said
