"""From one environment to a batch of them: vmap, time limit, autoreset, terminal obs, NaN guard."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drac_jax.types import Environment, EnvSpec, EnvState, Visual


class TaskStep(NamedTuple):
    """One environment after a reset or a step, without a batch axis.

    sim: any pytree of arrays; obs: [O]; reward: scalar; terminated: bool, the task ended;
    truncated: bool, the episode was cut for another reason than the time limit;
    goal: int32, the goal entered in this step (0 none, 1..G).
    """

    sim: Any
    obs: jax.Array
    reward: jax.Array | float = 0.0
    terminated: jax.Array | bool = False
    truncated: jax.Array | bool = False
    goal: jax.Array | int = 0


def _alike(sim: Any, index: jax.Array) -> Any:
    return sim


class Task(NamedTuple):
    """One unbatched environment, the thing that a user writes.

    reset: (key) -> TaskStep. step: (sim, action [A] in [-1, 1]) -> TaskStep. visual: its looks,
    of one sim. place: (initial sim, index of an environment in its batch) -> the sim it starts
    with; all environments are alike unless given (see `deal`). renew: (a sim of the pool, key of an
    environment) -> the sim that its next episode starts with, where more is drawn than a pool has.
    """

    spec: EnvSpec
    reset: Callable[[jax.Array], TaskStep]
    step: Callable[[Any, jax.Array], TaskStep]
    visual: Visual | None = None
    place: Callable[[Any, jax.Array], Any] = _alike
    renew: Callable[[Any, jax.Array], Any] | None = None


def deal(
    spec: EnvSpec,
    reset: Callable[[jax.Array], TaskStep],
    step: Callable[[Any, Any, jax.Array], TaskStep],
    variants: Any,
) -> Task:
    """Make one task of V variants, which are data: environment i of a batch plays variant i % V.

    reset: (key) -> TaskStep, for all variants; step: (variant, sim, action [A]) -> TaskStep;
    variants: a pytree whose leaves have a leading axis V. One compiled step serves them all.
    """
    count = jax.tree.leaves(variants)[0].shape[0]

    def dealt_reset(key: jax.Array) -> TaskStep:
        first = reset(key)
        return first._replace(sim=(first.sim, jnp.zeros((), jnp.int32)))

    def dealt_step(sim: tuple, action: jax.Array) -> TaskStep:
        inner, number = sim
        out = step(jax.tree.map(lambda x: x[number], variants), inner, action)
        return out._replace(sim=(out.sim, number))

    # An initial state comes from a pool that all environments share, so it cannot say which
    # variant it is for: the environment that takes it does, at every reset and autoreset.
    return Task(spec, dealt_reset, dealt_step, place=lambda sim, index: (sim[0], index % count))


def repeat(task: Task, action_repeat: int) -> Task:
    """Make a task that takes each action `action_repeat` times, and pays the sum of the rewards.

    An episode that ends in between stays as it ended; the first goal entered is the goal. The time
    limit counts env steps, of the new task. Raises ValueError unless action_repeat is positive.
    """
    if action_repeat < 1:
        raise ValueError(f"action_repeat={action_repeat} must be at least 1; use 1 for none")
    if action_repeat == 1:
        return task

    def step(sim: Any, action: jax.Array) -> TaskStep:
        def again(last: TaskStep, _: None) -> tuple[TaskStep, None]:
            out = task.step(last.sim, action)
            goal = jnp.where(last.goal > 0, last.goal, out.goal)
            out = out._replace(reward=last.reward + out.reward, goal=goal)
            ended = last.terminated | last.truncated
            return jax.tree.map(lambda new, old: jnp.where(ended, old, new), out, last), None

        first = jax.tree.map(_strong, task.step(sim, action))
        return jax.lax.scan(again, first, None, action_repeat - 1)[0]

    visual = task.visual and task.visual._replace(dt=task.visual.dt * action_repeat)
    return task._replace(step=step, visual=visual)


class _Internal(NamedTuple):
    sim: Any  # [E, ...]
    keys: jax.Array  # [E], one stream of reset draws per environment
    pool: TaskStep  # [P, ...], initial states that an autoreset picks from


def batch(task: Task, pool_size: int = 64) -> Environment:
    """Make a batched environment of a task.

    Resetting inside a vmapped step would run a reset of every environment in every step, so an
    autoreset picks one of `pool_size` initial states, drawn once in `reset` (1 where the task has
    a fixed start). Actions are clipped to [-1, 1]. An environment whose state, obs or reward
    stops being finite ends at once, is replaced from the pool and reported as `broken`; its
    terminal_obs is then the last finite obs and its reward 0.
    """
    if pool_size < 1:
        raise ValueError(f"pool_size={pool_size} must be at least 1; use 64")
    if task.spec.max_steps < 1:
        limit = task.spec.max_steps
        raise ValueError(f"max_steps={limit} of {task.spec.name} must be at least 1; use 1000")
    visual = task.visual and _batched(task.visual)
    # Python reads a simulator once, not once in each program that plays it.
    task = task._replace(reset=jax.jit(task.reset), step=jax.jit(task.step))
    return Environment(task.spec, partial(_reset, task, pool_size), partial(_step, task), visual)


def _batched(visual: Visual) -> Visual:
    return visual._replace(qpos=lambda state: jax.vmap(visual.qpos)(state.internal.sim))


def _reset(task: Task, pool_size: int, keys: jax.Array) -> EnvState:
    keys, first_keys, pool_keys = jax.vmap(lambda key: jax.random.split(key, 3))(keys).T
    pool = jax.vmap(task.reset)(jax.random.split(pool_keys[0], pool_size))
    pool, first = jax.tree.map(_strong, (pool, jax.vmap(task.reset)(first_keys)))
    sim = _placed(task, first.sim, len(keys))
    return begun(first.obs, _Internal(sim, keys, pool))


def begun(obs: jax.Array, internal: Any) -> EnvState:
    """Make the state of environments whose first episodes begin. obs: [E, O]."""
    no = jnp.zeros(obs.shape[:1], bool)
    info = {
        "truncation": no,
        "terminal_obs": obs,
        "goal": no.astype(jnp.int32),
        "broken": no,
        "episode_return": no.astype(jnp.float32),
        "episode_length": no.astype(jnp.int32),
    }
    return EnvState(obs, no.astype(jnp.float32), no, info, internal)


def episode_sums(state: EnvState, reward: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Count the env steps and add up the rewards of the running episodes, this step's included.
    reward: [E]. -> length [E], return [E]; those of a finished episode start again from zero."""
    length = jnp.where(state.done, 0, state.info["episode_length"]) + 1
    total = jnp.where(state.done, 0.0, state.info["episode_return"]) + reward
    return length, total


def checked_limit(limit: int | None) -> int:
    """Check a time limit, in env steps. Raises ValueError where there is none."""
    if limit is None or limit < 1:
        raise ValueError(f"max_steps={limit}: the environment needs a time limit; use 1000")
    return int(limit)


def _step(task: Task, state: EnvState, action: jax.Array) -> EnvState:
    sim, keys, pool = state.internal
    out = jax.vmap(task.step)(sim, jnp.clip(action, -1.0, 1.0))
    out = jax.tree_util.tree_map_with_path(_as_reset, out, pool)
    broken = ~_finite(out)
    reward = jnp.where(broken, 0.0, out.reward).astype(jnp.float32)
    length, total = episode_sums(state, reward)
    terminated = out.terminated & ~broken
    truncation = (out.truncated | (length >= task.spec.max_steps) | broken) & ~terminated
    done = terminated | truncation
    info = {
        "truncation": truncation,
        "terminal_obs": _where(broken, state.obs, out.obs),
        "goal": jnp.where(broken, 0, out.goal).astype(jnp.int32),
        "broken": broken,
        "episode_return": total,
        "episode_length": length,
    }
    keys, sim, obs = _autoreset(task, keys, pool, done, out)
    return EnvState(obs, reward, done, info, _Internal(sim, keys, pool))


def _as_reset(path: Any, new: jax.Array, ref: jax.Array) -> jax.Array:
    """Cast what a step returns to the dtype that a reset does: a scan's carry must keep it, or the
    second call compiles again."""
    if new.shape[1:] != ref.shape[1:]:
        raise ValueError(
            f"step returns {jax.tree_util.keystr(path)} of shape {new.shape[1:]} and reset of "
            f"{ref.shape[1:]}; return the same from both"
        )
    return jnp.asarray(new, ref.dtype)


def _placed(task: Task, sim: Any, number: int) -> Any:
    """Tell the initial states of a batch which environment each is for. sim: [E, ...]."""
    return jax.vmap(task.place)(sim, jnp.arange(number, dtype=jnp.int32))


def _autoreset(
    task: Task, keys: jax.Array, pool: TaskStep, done: jax.Array, out: TaskStep
) -> tuple[jax.Array, Any, jax.Array]:
    """Replace the state and obs of the environments that are done by some of the pool."""
    keys, pick_keys = jax.vmap(jax.random.split)(keys).T
    pick = jax.vmap(lambda key: jax.random.randint(key, (), 0, pool.obs.shape[0]))(pick_keys)
    fresh_sim, fresh_obs = jax.tree.map(lambda x: x[pick], (pool.sim, pool.obs))
    if task.renew is not None:
        renew_keys = jax.vmap(partial(jax.random.fold_in, data=1))(pick_keys)
        fresh_sim = jax.vmap(task.renew)(fresh_sim, renew_keys)
    fresh = (_placed(task, fresh_sim, len(pick)), fresh_obs)
    sim, obs = jax.tree.map(lambda new, old: _where(done, new, old), fresh, (out.sim, out.obs))
    return keys, sim, obs


def _strong(x: jax.Array) -> jax.Array:
    """Drop weak types and 64-bit Python scalars, so that a step returns what it was given."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else jnp.asarray(x, x.dtype)


def _where(mask: jax.Array, yes: jax.Array, no: jax.Array) -> jax.Array:
    return jnp.where(mask.reshape(mask.shape + (1,) * (yes.ndim - 1)), yes, no)


def _finite(out: TaskStep) -> jax.Array:
    """Whether every float of each environment is finite. -> [E] bool."""
    floats = [x for x in jax.tree.leaves(out) if jnp.issubdtype(x.dtype, jnp.inexact)]
    checks = [jnp.isfinite(x).reshape(x.shape[0], -1).all(axis=1) for x in floats]
    return jnp.stack(checks).all(axis=0)
