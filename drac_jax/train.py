"""The training loop, one pure function for every algorithm and environment.

A run is `init` and then a scan of `epoch`; an epoch is a scan of (interact, learn). Nothing here
knows an algorithm, a simulator, a file or the time, so `jax.vmap` turns a run into a sweep.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drac_jax import replay as ring
from drac_jax.replay import Replay
from drac_jax.rollout import env_step, store
from drac_jax.types import Algorithm, Environment, EnvState, Metrics


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The static shape of a run. Budgets count env steps, summed over the environments.

    steps_per_iteration: steps of every environment before updates_per_iteration updates (more than
    one for algorithms that take several updates in one call); learning_starts: env steps before
    the first update (at least one row and one batch); replay_capacity: transitions;
    held_envs: environments that keep their latent for hold_steps steps while collecting data, and
    so explore in longer strokes; 0 as in the paper. Evaluations always draw afresh.
    """

    env_steps: int = 20_000
    num_envs: int = 1
    steps_per_iteration: int = 1
    updates_per_iteration: int = 1
    batch_size: int = 256
    replay_capacity: int = 1_000_000
    learning_starts: int = 256
    held_envs: int = 0
    hold_steps: int = 50
    epochs: int = 20


class TrainState(NamedTuple):
    """The one carry of a run, and all that a checkpoint holds. held_key: of the latents that are
    being held."""

    agent: Any
    env: EnvState
    replay: Replay
    key: jax.Array
    held_key: jax.Array
    step: jax.Array


class Schedule(NamedTuple):
    """How a budget is spent: steps of every environment before learning, then `epochs` equal
    epochs.

    An epoch is cut into `segments`, each of which ends in the algorithm's slow update; where its
    period is longer than an epoch, there is one in `slow_epochs` epochs.
    """

    prefill: int
    iterations_per_epoch: int
    epochs: int
    segments: int = 1
    slow_epochs: int = 1

    def env_steps(self, config: TrainConfig, epoch: int) -> int:
        """Count env steps after `epoch` epochs."""
        iterations = epoch * self.iterations_per_epoch
        return (self.prefill + iterations * config.steps_per_iteration) * config.num_envs

    def updates(self, config: TrainConfig, epoch: int) -> int:
        """Count updates after `epoch` epochs."""
        return epoch * self.iterations_per_epoch * config.updates_per_iteration


class Train(NamedTuple):
    """A run as pure functions.

    init: (key, hparams) -> TrainState, with learning_starts env steps in the replay.
    epoch: (TrainState) -> (TrainState, metrics), each a scalar.
    run: (key, hparams) -> (TrainState, metrics), each [epochs].
    """

    init: Callable[[jax.Array, Any], TrainState]
    epoch: Callable[[TrainState], tuple[TrainState, Metrics]]
    run: Callable[[jax.Array, Any], tuple[TrainState, Metrics]]


class _Run(NamedTuple):
    """What is fixed in a run; the functions below close over it as their first argument."""

    env: Environment
    algorithm: Algorithm
    config: TrainConfig
    schedule: Schedule


def make_train(env: Environment, algorithm: Algorithm, config: TrainConfig) -> Train:
    """Make the run of an algorithm on an environment. Raises ValueError as `check` does."""
    check(config, algorithm.num_minibatches)
    fixed = _Run(env, algorithm, config, make_schedule(config, algorithm.slow_period))
    return Train(partial(_init, fixed), partial(_epoch, fixed), partial(_run, fixed))


def _interact(fixed: _Run, state: TrainState, key: jax.Array) -> tuple[TrainState, Metrics]:
    """Step every environment once and write one row into replay."""
    config = fixed.config
    held_key = jnp.where(state.step % config.hold_steps == 0, key, state.held_key)

    def act(obs: jax.Array) -> jax.Array:
        action = fixed.algorithm.act(state.agent, obs, key)
        if config.held_envs == 0:
            return action
        held = fixed.algorithm.act(state.agent, obs, held_key)
        return jnp.concatenate([held[: config.held_envs], action[config.held_envs :]])

    env_state, transition = env_step(fixed.env, state.env, act)
    replay = store(state.replay, transition, env_state.info["broken"])
    state = state._replace(env=env_state, replay=replay, held_key=held_key, step=state.step + 1)
    return state, _episode_sums(env_state)


def _learn(fixed: _Run, state: TrainState, key: jax.Array) -> tuple[TrainState, Metrics]:
    """Take the iteration's updates, each on fresh minibatches."""
    algorithm, config = fixed.algorithm, fixed.config
    shape = (algorithm.num_minibatches, config.batch_size)

    def update(agent: Any, key: jax.Array) -> tuple[Any, Metrics]:
        sample_key, update_key = jax.random.split(key)
        return algorithm.update(agent, ring.sample(state.replay, sample_key, shape), update_key)

    calls = config.updates_per_iteration // algorithm.num_minibatches
    agent, metrics = jax.lax.scan(update, state.agent, jax.random.split(key, calls))
    return state._replace(agent=agent), jax.tree.map(jnp.mean, metrics)


def _iterate(fixed: _Run, state: TrainState, _: None) -> tuple[TrainState, tuple[Metrics, Metrics]]:
    key, act_key, learn_key = jax.random.split(state.key, 3)
    steps = fixed.config.steps_per_iteration
    act_keys = act_key[None] if steps == 1 else jax.random.split(act_key, steps)
    state, episodes = jax.lax.scan(partial(_interact, fixed), state._replace(key=key), act_keys)
    state, metrics = _learn(fixed, state, learn_key)
    return state, (metrics, episodes)


def _slow_update(fixed: _Run, state: TrainState) -> tuple[TrainState, Metrics]:
    """Take the algorithm's slow update, if it has one and if it is due."""
    algorithm, schedule = fixed.algorithm, fixed.schedule
    key, slow_key = jax.random.split(state.key)
    state = state._replace(key=key)
    if algorithm.slow_update is None:
        return state, {}
    sample_key, slow_key = jax.random.split(slow_key)
    batch = ring.sample(state.replay, sample_key, (1, fixed.config.batch_size))
    agent, metrics = algorithm.slow_update(state.agent, batch, slow_key)
    per_epoch = schedule.iterations_per_epoch * fixed.config.steps_per_iteration
    due = (state.step - schedule.prefill) % (schedule.slow_epochs * per_epoch) == 0
    if schedule.segments == 1:
        agent = jax.tree.map(lambda new, old: jnp.where(due, new, old), agent, state.agent)
    return state._replace(agent=agent), metrics


def _segment(fixed: _Run, state: TrainState, _: None) -> tuple[TrainState, tuple]:
    length = fixed.schedule.iterations_per_epoch // fixed.schedule.segments
    state, records = jax.lax.scan(partial(_iterate, fixed), state, None, length)
    state, slow_metrics = _slow_update(fixed, state)
    return state, (*records, slow_metrics)


def _init(fixed: _Run, key: jax.Array, hparams: Any) -> TrainState:
    spec, num_envs = fixed.env.spec, fixed.config.num_envs
    key, agent_key, env_key, fill_key = jax.random.split(key, 4)
    agent = fixed.algorithm.init(agent_key, hparams, spec.obs_size)
    replay = ring.init(replay_rows(fixed.config), num_envs, spec.obs_size, spec.action_size)
    env_state = fixed.env.reset(jax.random.split(env_key, num_envs))
    state = TrainState(agent, env_state, replay, key, fill_key, jnp.zeros((), jnp.int32))
    fill_keys = jax.random.split(fill_key, fixed.schedule.prefill)
    return jax.lax.scan(partial(_interact, fixed), state, fill_keys)[0]


def _epoch(fixed: _Run, state: TrainState) -> tuple[TrainState, Metrics]:
    segments = jax.lax.scan(partial(_segment, fixed), state, None, fixed.schedule.segments)
    state, (metrics, episodes, slow_metrics) = segments
    return state, jax.tree.map(jnp.mean, metrics | slow_metrics) | _episode_means(episodes)


def _run(fixed: _Run, key: jax.Array, hparams: Any) -> tuple[TrainState, Metrics]:
    state = _init(fixed, key, hparams)
    return jax.lax.scan(lambda s, _: _epoch(fixed, s), state, None, fixed.schedule.epochs)


def make_schedule(config: TrainConfig, slow_period: int = 0) -> Schedule:
    """Spend exactly the budget: the remainder of the division into epochs, and of them into
    segments, lengthens the prefill.

    slow_period: updates between slow updates, 0 where there are none; epochs come first, so it is
    rounded to what divides an epoch, or to a whole number of epochs.
    """
    steps = config.env_steps // config.num_envs
    prefill = -(-max(config.learning_starts, config.batch_size) // config.num_envs)
    per_epoch = (steps - prefill) // (config.epochs * config.steps_per_iteration)
    updates = per_epoch * config.updates_per_iteration
    segments = round(updates / slow_period) if slow_period else 1
    segments = max(1, min(segments, per_epoch))
    slow_epochs = max(1, round(slow_period / updates)) if updates else 1
    per_epoch = per_epoch // segments * segments
    used = per_epoch * config.epochs * config.steps_per_iteration
    return Schedule(steps - used, per_epoch, config.epochs, segments, slow_epochs)


def replay_rows(config: TrainConfig) -> int:
    """Count the ring's rows; more than the budget would never be written."""
    return min(config.replay_capacity, config.env_steps) // config.num_envs


def check(config: TrainConfig, num_minibatches: int = 1) -> None:
    """Raise ValueError, naming field, value and fix, where a config cannot be run."""
    for field, value in vars(config).items():
        least = 0 if field in ("learning_starts", "held_envs") else 1
        if value < least:
            raise ValueError(f"{field}={value} must be at least {least}")
    if config.held_envs > config.num_envs:
        raise ValueError(
            f"held_envs={config.held_envs} must be at most num_envs={config.num_envs}; use "
            f"held_envs={config.num_envs}"
        )
    if config.replay_capacity < config.batch_size:
        raise ValueError(
            f"batch_size={config.batch_size} is above replay_capacity={config.replay_capacity}; "
            f"use replay_capacity={config.batch_size} or more"
        )
    if config.replay_capacity < config.num_envs:
        raise ValueError(
            f"replay_capacity={config.replay_capacity} is below num_envs={config.num_envs}, one "
            f"row; use replay_capacity={config.num_envs} or more"
        )
    if config.updates_per_iteration % num_minibatches:
        raise ValueError(
            f"updates_per_iteration={config.updates_per_iteration} must be a multiple of "
            f"{num_minibatches}, the updates of one call of this algorithm; use "
            f"updates_per_iteration={num_minibatches} with steps_per_iteration={num_minibatches}"
        )
    if make_schedule(config).iterations_per_epoch < 1:
        each = config.num_envs * config.steps_per_iteration
        needed = each * config.epochs + max(config.learning_starts, config.batch_size)
        raise ValueError(
            f"env_steps={config.env_steps} is too little for {config.epochs} epochs of "
            f"num_envs={config.num_envs} after learning starts; use {needed + config.num_envs}"
        )


def _episode_sums(state: EnvState) -> Metrics:
    """Sum over the episodes that ended in this step; broken environments are counted apart."""
    ended = state.done & ~state.info["broken"]
    return {
        "episodes": ended.sum(),
        "return": jnp.where(ended, state.info["episode_return"], 0.0).sum(),
        "length": jnp.where(ended, state.info["episode_length"], 0).sum(),
        "broken": state.info["broken"].sum(),
    }


def _episode_means(sums: Metrics) -> Metrics:
    """Average over an epoch; NaN where no episode ended."""
    total = jax.tree.map(jnp.sum, sums)
    return {
        "train/episodes": total["episodes"],
        "train/return": total["return"] / total["episodes"],
        "train/episode_length": total["length"] / total["episodes"],
        "train/broken_envs": total["broken"],
    }
