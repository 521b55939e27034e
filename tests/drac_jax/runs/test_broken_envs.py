"""What a run says of environments that stop being finite."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from drac_jax.runs.execution.breakdown.broken_envs import earliest_step
from drac_jax.runs.execution.runner import Run
from drac_jax.runs.setup import run_setup
from drac_jax.runs.storage.console import Reporter
from drac_jax.training import replay as ring
from drac_jax.training.rollout import env_step
from drac_jax.types import EnvSpec
from envs import Task, TaskStep, batch
from experiments import find
from tests.support.commands import records_of, saved_epochs
from tests.support.toys import obedient

LIMIT = 6  # env steps of an episode
BREAK, END, GO_ON = 0.9, -0.9, 0.0


def rows_of(actions: list[list[float]], rows: int, store_next_obs: bool) -> ring.Replay:
    """Play actions [T][E], and keep the last rows. -> leaves [1, ...]."""
    env = batch(obedient(LIMIT))
    count = len(actions[0])
    replay = ring.init(rows, count, 1, 1, store_next_obs)
    state = env.reset(jax.random.split(jax.random.key(0), count))
    for row in actions:
        action = jnp.array(row)[:, None]
        state, transition = env_step(env, state, lambda obs, action=action: action)
        info = state.info
        replay = ring.add(replay, transition, info["truncation"], info["broken"])
    return jax.tree.map(lambda x: x[None], replay)


@pytest.mark.parametrize("store_next_obs", [True, False])
@pytest.mark.parametrize(
    ("first", "second", "rows", "step"),
    [
        ([GO_ON, GO_ON, GO_ON, BREAK], [GO_ON] * 4, 20, 4),
        ([GO_ON, END, GO_ON, BREAK], [GO_ON] * 4, 20, 2),
        ([GO_ON, BREAK, BREAK, GO_ON], [GO_ON] * 4, 20, 1),
        ([GO_ON] * 8, [GO_ON] * 8, 20, None),  # cut by the time limit
        ([GO_ON] * 7 + [BREAK], [GO_ON] * 8, 20, 2),  # after such a cut
        ([GO_ON, END, GO_ON, BREAK], [GO_ON] * 4, 3, 2),
        ([GO_ON, GO_ON, GO_ON, BREAK], [GO_ON] * 4, 3, None),  # its beginning is overwritten
    ],
)
def test_earliest_step_is_that_of_the_episode(first, second, rows, step, store_next_obs):
    actions = [list(pair) for pair in zip(first, second, strict=True)]
    assert earliest_step(rows_of(actions, rows, store_next_obs), LIMIT) == step


def breaking(always: bool) -> Task:
    """The third step is not finite: always, or where the action is above 0.6."""

    def step(count: jax.Array, action: jax.Array) -> TaskStep:
        bad = (count == 2.0) & (always | (action[0] > 0.6))
        return TaskStep(count + 1.0, (count + 1.0)[None], reward=jnp.where(bad, jnp.inf, 1.0))

    start = TaskStep(jnp.zeros(()), jnp.zeros(1))
    return Task(EnvSpec("breaking", 1, 1, LIMIT), lambda key: start, step)


def run_in(folder: Path, always: bool) -> Run:
    experiment = find("multigoal_sac")
    experiment = replace(experiment, make_env=lambda options, obstacles: batch(breaking(always)))
    config = experiment.config()
    train = replace(
        config.train, env_steps=120, epochs=3, num_envs=4, batch_size=8, learning_starts=8
    )
    algorithm = replace(config.algorithm, hidden=(8,))
    small = replace(config.eval, episodes=2, final_episodes=2)
    config = replace(config, train=train, algorithm=algorithm, eval=small)
    setup, _ = run_setup.prepare(experiment, config, "default")
    return Run(setup, folder, Reporter())


@pytest.mark.heavy
def test_broken_environments_are_named_once(tmp_path, capsys):
    run_in(tmp_path, always=False).start()
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note:")]
    assert len(notes) == 1
    assert notes[0].startswith("note: breaking: ")
    assert "ended in a state that is not finite, the earliest in step 3 of its" in notes[0]
    first = next(r for r in records_of(tmp_path) if r["train/broken_envs"])
    assert f"{first['train/broken_envs']} episode(s) of epoch {first['epoch']} " in notes[0]


@pytest.mark.slow
def test_a_run_whose_episodes_all_break_stops_saved(tmp_path):
    with pytest.raises(ValueError) as refused:
        run_in(tmp_path, always=True).start()
    said = str(refused.value)
    assert "\n" not in said
    assert said.startswith("breaking: all ") and "broke, the earliest in step 3" in said
    assert "look at its reward and physics" in said
    assert saved_epochs(tmp_path) == [1]
