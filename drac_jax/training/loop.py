"""The training loop, one pure function for every algorithm and environment.

A run is `init` and then a scan of `epoch`; an epoch is a loop of (interact, learn), which `advance`
takes in as many pieces as one likes. Nothing here knows an algorithm, a simulator, a file or the
time, so `jax.vmap` turns a run into a sweep.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drac_jax.training import replay as ring
from drac_jax.training.parts import Parts, Updated
from drac_jax.training.replay import Replay
from drac_jax.training.rollout import env_step
from drac_jax.training.schedule import Schedule, TrainConfig, check, make_schedule, replay_rows
from drac_jax.training.wrappers.wrapping import wrapped
from drac_jax.types import Algorithm, Environment, EnvState, Metrics, Transition


class TrainState(NamedTuple):
    """The one carry of a run, and all that a checkpoint holds. held_key: of the latents that are
    being held."""

    agent: Any
    env: EnvState
    replay: Replay
    key: jax.Array
    held_key: jax.Array
    step: jax.Array


class Sums(NamedTuple):
    """What an epoch's metrics are the means of: sums over its iterations so far, over the episodes
    that ended in them, and over its slow updates."""

    iterations: Metrics
    episodes: Metrics
    slow_updates: Metrics


class Train(NamedTuple):
    """A run as pure functions.

    init: (key, hparams) -> TrainState, with learning_starts env steps in the replay.
    epoch: (TrainState) -> (TrainState, metrics), each a scalar.
    run: (key, hparams) -> (TrainState, metrics), each [epochs].

    An epoch in pieces, bit for bit the same however it is cut:
    no_sums: (TrainState) -> Sums, all zero.
    advance: (TrainState, Sums, strides, slow updates after them) -> (TrainState, Sums); a stride is
    `schedule.stride` iterations, and a slow update is due after every `schedule.segment` of them.
    means: (Sums of an epoch) -> metrics.
    algorithm: that of the agents, wrapped in what the config asks for: what acts with them.
    parts: of an iteration.
    """

    init: Callable[[jax.Array, Any], TrainState]
    epoch: Callable[[TrainState], tuple[TrainState, Metrics]]
    run: Callable[[jax.Array, Any], tuple[TrainState, Metrics]]
    no_sums: Callable[[TrainState], Sums]
    advance: Callable[[TrainState, Sums, Any, Any], tuple[TrainState, Sums]]
    means: Callable[[Sums], Metrics]
    algorithm: Algorithm
    parts: Parts


class _Run(NamedTuple):
    """What is fixed in a run; the functions below close over it as their first argument."""

    env: Environment
    algorithm: Algorithm
    config: TrainConfig
    schedule: Schedule


Iterate = Callable[[TrainState], tuple[TrainState, Metrics, Metrics]]


def make_train(env: Environment, algorithm: Algorithm, config: TrainConfig) -> Train:
    """Make the run of an algorithm on an environment. Raises ValueError as `check` does, and for
    an environment whose observations have another size than its spec says."""
    check(config, algorithm.num_minibatches)
    _check_obs(env, config.num_envs)
    if env.spec.max_steps == 1 and not config.store_next_obs:
        raise ValueError("store_next_obs=False needs episodes of two steps or more; use True")
    algorithm = wrapped(algorithm, config)
    fixed = _Run(env, algorithm, config, make_schedule(config, algorithm.slow_period))
    # Inlined where they are called, but traced once.
    init = jax.jit(partial(_init, fixed), inline=True)
    iterate = jax.jit(partial(_iterate, fixed), inline=True)
    no_sums, advance = partial(_no_sums, fixed, iterate), partial(_advance, fixed, iterate)
    means = partial(_means, fixed.schedule)

    def segment(carry: tuple[TrainState, Sums], _: None) -> tuple[tuple[TrainState, Sums], None]:
        strides = fixed.schedule.segment // fixed.schedule.stride
        return advance(carry[0], carry[1], strides, 1), None

    def epoch(state: TrainState) -> tuple[TrainState, Metrics]:
        start = (state, no_sums(state))
        (state, sums), _ = jax.lax.scan(segment, start, None, fixed.schedule.segments)
        return state, means(sums)

    def run(key: jax.Array, hparams: Any) -> tuple[TrainState, Metrics]:
        state = init(key, hparams)
        return jax.lax.scan(lambda s, _: epoch(s), state, None, fixed.schedule.epochs)

    return Train(init, epoch, run, no_sums, advance, means, algorithm, _parts(fixed))


def _parts(fixed: _Run) -> Parts:
    def slow_update(state: TrainState) -> Updated:
        return _slow(fixed, state, jax.random.split(state.key)[1])

    has_slow = fixed.algorithm.slow_update is not None
    collect, update = partial(_collect, fixed), partial(_update, fixed)
    return Parts(lambda state: collect(state)[::2], update, slow_update if has_slow else None)


def _check_obs(env: Environment, num_envs: int) -> None:
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), num_envs))
    shape, expected = jax.eval_shape(env.reset, keys).obs.shape, (num_envs, env.spec.obs_size)
    if shape != expected:
        raise ValueError(
            f"{env.spec.name}: reset gives obs {list(shape)}, but num_envs={num_envs} and "
            f"spec.obs_size={env.spec.obs_size} mean {list(expected)}; make spec.obs_size the "
            f"number of an observation's values"
        )


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
    info = env_state.info
    replay = ring.add(state.replay, transition, info["truncation"], info["broken"])
    state = state._replace(env=env_state, replay=replay, held_key=held_key, step=state.step + 1)
    if (observe := fixed.algorithm.observe) is not None:
        agent = observe(state.agent, transition, env_state.done, info["broken"])
        state = state._replace(agent=agent)
    return state, _episode_sums(env_state)


def _update(fixed: _Run, state: TrainState, key: jax.Array) -> Updated:
    """Take one call of the algorithm's update. -> also what it was given."""
    algorithm = fixed.algorithm
    sample_key, update_key = jax.random.split(key)
    batch = _sample(fixed, state, sample_key, algorithm.num_minibatches)
    return *algorithm.update(state.agent, batch, update_key), batch, update_key


def _learn(fixed: _Run, state: TrainState, keys: jax.Array) -> tuple[TrainState, Metrics]:
    """Take the iteration's updates, each on fresh minibatches. keys: of the calls."""

    @jax.named_scope("update")
    def update(agent: Any, key: jax.Array) -> tuple[Any, Metrics]:
        agent, metrics, *_ = _update(fixed, state._replace(agent=agent), key)
        return agent, metrics

    agent, metrics = jax.lax.scan(update, state.agent, keys)
    return state._replace(agent=agent), jax.tree.map(jnp.mean, metrics)


def _sample(fixed: _Run, state: TrainState, key: jax.Array, minibatches: int) -> Transition:
    """Draw minibatches [M, B, ...]."""
    config = fixed.config
    gamma = state.agent.hparams.gamma if config.n_step > 1 else 1.0
    shape = (minibatches, config.batch_size)
    return ring.sample(state.replay, key, shape, config.strata, config.n_step, gamma)


def _collect(fixed: _Run, state: TrainState) -> tuple[TrainState, Metrics, jax.Array]:
    """Collect once. -> the state, sums over ended episodes by step, the keys of the updates."""
    key, act_key, learn_key = jax.random.split(state.key, 3)
    steps = fixed.config.steps_per_iteration
    act_keys = act_key[None] if steps == 1 else jax.random.split(act_key, steps)
    state, episodes = jax.lax.scan(partial(_interact, fixed), state._replace(key=key), act_keys)
    calls = fixed.config.updates_per_iteration // fixed.algorithm.num_minibatches
    return state, episodes, jax.random.split(learn_key, calls)


def _iterate(fixed: _Run, state: TrainState) -> tuple[TrainState, Metrics, Metrics]:
    """Collect and learn once. -> the state, the metrics, and the sums over ended episodes."""
    state, episodes, keys = _collect(fixed, state)
    state, metrics = _learn(fixed, state, keys)
    return state, metrics, jax.tree.map(partial(jnp.sum, axis=0), episodes)


def _slow_update(fixed: _Run, state: TrainState) -> tuple[TrainState, Metrics]:
    """Take the algorithm's slow update, if it has one and if it is due."""
    key, slow_key = jax.random.split(state.key)
    if fixed.algorithm.slow_update is None:
        return state._replace(key=key), {}
    agent, metrics, *_ = _slow(fixed, state, slow_key)
    return state._replace(key=key, agent=agent), metrics


def _slow(fixed: _Run, state: TrainState, slow_key: jax.Array) -> Updated:
    schedule, slow_update = fixed.schedule, fixed.algorithm.slow_update
    assert slow_update is not None  # as its callers know
    sample_key, slow_key = jax.random.split(slow_key)
    batch = _sample(fixed, state, sample_key, 1)
    agent, metrics = slow_update(state.agent, batch, slow_key)
    per_epoch = schedule.iterations_per_epoch * fixed.config.steps_per_iteration
    due = (state.step - schedule.prefill) % (schedule.slow_epochs * per_epoch) == 0
    if schedule.segments == 1:
        agent = jax.tree.map(lambda new, old: jnp.where(due, new, old), agent, state.agent)
    return agent, metrics, batch, slow_key


def _no_sums(fixed: _Run, iterate: Iterate, state: TrainState) -> Sums:
    _, metrics, episodes = jax.eval_shape(iterate, state)
    slow = jax.eval_shape(partial(_slow_update, fixed), state)[1]
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), Sums(metrics, episodes, slow))


def _advance(
    fixed: _Run, iterate: Iterate, state: TrainState, sums: Sums, strides: Any, slow_updates: Any
) -> tuple[TrainState, Sums]:
    """Both counts may be traced. XLA knows the length of a stride: a loop of unknown length makes
    an accelerator ask the host after every turn."""

    def one(carry: tuple[TrainState, Sums], _: None) -> tuple[tuple[TrainState, Sums], None]:
        state, (metrics, episodes, slow) = carry
        state, new_metrics, new_episodes = iterate(state)
        return (state, Sums(_add(metrics, new_metrics), _add(episodes, new_episodes), slow)), None

    def stride(_: jax.Array, carry: tuple[TrainState, Sums]) -> tuple[TrainState, Sums]:
        return jax.lax.scan(one, carry, None, fixed.schedule.stride)[0]

    def slow_update(_: jax.Array, carry: tuple[TrainState, Sums]) -> tuple[TrainState, Sums]:
        state, new = _slow_update(fixed, carry[0])
        return state, carry[1]._replace(slow_updates=_add(carry[1].slow_updates, new))

    carry = jax.lax.fori_loop(0, strides, stride, (state, sums))
    return jax.lax.fori_loop(0, slow_updates, slow_update, carry)


def _add(sums: Metrics, new: Metrics) -> Metrics:
    return jax.tree.map(jnp.add, sums, new)


def _means(schedule: Schedule, sums: Sums) -> Metrics:
    metrics = jax.tree.map(lambda x: x / schedule.iterations_per_epoch, sums.iterations)
    slow = jax.tree.map(lambda x: x / schedule.segments, sums.slow_updates)
    return metrics | slow | _episode_means(sums.episodes)


def _init(fixed: _Run, key: jax.Array, hparams: Any) -> TrainState:
    spec, num_envs = fixed.env.spec, fixed.config.num_envs
    key, agent_key, env_key, fill_key = jax.random.split(key, 4)
    agent = fixed.algorithm.init(agent_key, hparams, spec.obs_size)
    rows, sizes = replay_rows(fixed.config), (spec.obs_size, spec.action_size)
    replay = ring.init(rows, num_envs, *sizes, fixed.config.store_next_obs)
    env_state = fixed.env.reset(jax.random.split(env_key, num_envs))
    state = TrainState(agent, env_state, replay, key, fill_key, jnp.zeros((), jnp.int32))
    fill_keys = jax.random.split(fill_key, fixed.schedule.prefill)
    return jax.lax.scan(partial(_interact, fixed), state, fill_keys)[0]


def _episode_sums(state: EnvState) -> Metrics:
    """Sum over the episodes that ended in this step; broken environments are counted apart."""
    ended = state.done & ~state.info["broken"]
    return {
        "episodes": ended.sum(),
        "return": jnp.where(ended, state.info["episode_return"], 0.0).sum(),
        "length": jnp.where(ended, state.info["episode_length"], 0).sum(),
        "broken": state.info["broken"].sum(),
    }


def _episode_means(total: Metrics) -> Metrics:
    """Average over an epoch; NaN where no episode ended."""
    return {
        "train/episodes": total["episodes"],
        "train/return": total["return"] / total["episodes"],
        "train/episode_length": total["length"] / total["episodes"],
        "train/broken_envs": total["broken"],
    }
