"""Replay as one ring on device: rows of all environments, a transition packed into one vector.

One contiguous write a step and one gather a minibatch; functions only, so a vmap over seeds gives
every seed its own ring. A row may leave next_obs out, which is the obs of the row after it: then a
ring takes little more than half the memory, for two more gathers.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from drac_jax.types import Transition

# How a stored transition ended its episode, if it did. A copy, in place of a broken transition,
# has its original's mark less COPY.
TERMINATED, GOES_ON, TRUNCATED, COPY = 0.0, 1.0, 2.0, 4.0


@struct.dataclass
class Replay:
    """data: [T, E, D], packed transitions; row: int32, rows written so far, the next goes to
    row % T; next_obs: [E, O], of the newest row where rows leave theirs out, else None. obs_size
    and action_size say how to unpack."""

    data: jax.Array
    row: jax.Array
    next_obs: jax.Array | None
    obs_size: int = struct.field(pytree_node=False)
    action_size: int = struct.field(pytree_node=False)


def width(obs_size: int, action_size: int, store_next_obs: bool = True) -> int:
    """Count the floats of one packed transition: obs, action, reward, mark, next_obs."""
    return (1 + store_next_obs) * obs_size + action_size + 2


def nbytes(capacity: int, obs_size: int, action_size: int, store_next_obs: bool = True) -> int:
    """Count the bytes that `capacity` transitions take."""
    return 4 * capacity * width(obs_size, action_size, store_next_obs)


def init(
    rows: int, num_envs: int, obs_size: int, action_size: int, store_next_obs: bool = True
) -> Replay:
    """Make an empty ring of rows x num_envs transitions."""
    data = jnp.zeros((rows, num_envs, width(obs_size, action_size, store_next_obs)))
    next_obs = None if store_next_obs else jnp.zeros((num_envs, obs_size))
    return Replay(data, jnp.zeros((), jnp.int32), next_obs, obs_size, action_size)


def add(replay: Replay, transition: Transition, truncated: jax.Array, broken: jax.Array) -> Replay:
    """Write one row. transition: leaves [E, ...]; truncated, broken: [E] bool.

    A broken transition is never learnt from: in its place goes the last valid one of its
    environment (before there is any, that of an environment which is valid).

    Rows without next_obs know that of a transition only while the episode goes on or where it
    terminates. So one that is truncated or broken holds -n as its mark, and whoever draws it gets
    the transition n rows before it, the last of its episode that is whole.
    """
    mark = jnp.where(truncated, TRUNCATED, transition.discount)
    if replay.next_obs is None:
        packed = jnp.concatenate([_pack(transition, mark), transition.next_obs], axis=-1)
        return _write(replay, _replace_broken(replay, packed, broken), 1)
    last_mark = _newest(replay)[..., _mark_at(replay)]
    back = jnp.minimum(last_mark, 0.0) - 1.0
    packed = _pack(transition, jnp.where(truncated | broken, back, mark))
    # There is nothing before the first row: it is written until it is whole.
    grown = ~((replay.row == 0) & broken.any())
    replay = dataclasses.replace(replay, next_obs=transition.next_obs)
    return _write(replay, packed, grown.astype(jnp.int32))


def sample(
    replay: Replay,
    key: jax.Array,
    shape: tuple[int, int],
    strata: int = 1,
    n_step: int = 1,
    gamma: jax.Array | float = 1.0,
) -> Transition:
    """Draw transitions uniformly with replacement from those written. -> leaves [M, B, ...].

    shape: (M, B). strata: S groups of environments, each of which gives B / S transitions of every
    minibatch, in order; devices that each hold a group then exchange nothing. n_step: rewards of n
    steps, discounted by gamma, in place of the first; shorter where the episode ends.
    """
    num_envs = replay.data.shape[1] // strata
    oldest, count = _window(replay, n_step)
    drawn_shape = (shape[0], strata, shape[1] // strata)
    index = jax.random.randint(key, drawn_shape, 0, count * num_envs)
    row, env = (oldest + index // num_envs) % replay.data.shape[0], index % num_envs
    if replay.next_obs is not None:
        drawn = _without_next_obs(replay, replay.next_obs, strata, row, env)
    elif n_step == 1:
        drawn = _unpack(replay, _gather(replay.data, strata, row, env))
    else:
        drawn = _n_steps(replay, strata, row, env, n_step, gamma)
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[3:]), drawn)


def newest(replay: Replay) -> Transition:
    """Read the row written last. -> leaves [E, ...]; zeros while nothing is written."""
    packed = _newest(replay)
    if replay.next_obs is not None:
        packed = jnp.concatenate([packed, replay.next_obs], axis=-1)
    return _unpack(replay, packed)


def _window(replay: Replay, n_step: int) -> tuple[jax.Array, jax.Array]:
    """-> the oldest row that may be drawn, and how many from it on may.

    Rows without next_obs may send to the row before, so the oldest is left to those that are sent.
    """
    rows, left = replay.data.shape[0], int(replay.next_obs is not None)
    full = replay.row >= rows
    oldest = jnp.where(full, replay.row + left, 0)
    return oldest, jnp.where(full, rows - left, replay.row) - (n_step - 1)


def _gather(
    data: jax.Array, strata: int, row: jax.Array, env: jax.Array, columns: slice = slice(None)
) -> jax.Array:
    """Read data[row, env, columns], env counted within its stratum. data: [T, E, D];
    row, env: [M, S, B / S] -> [M, S, B / S, columns]."""
    rows, num_envs, size = data.shape

    def take(data: jax.Array, row: jax.Array, env: jax.Array) -> jax.Array:
        return data.at[row, env, columns].get(mode="promise_in_bounds")

    grouped = data.reshape(rows, strata, num_envs // strata, size)
    return jax.vmap(take, in_axes=1, out_axes=1)(grouped, row, env)


def _without_next_obs(
    replay: Replay, next_of_newest: jax.Array, strata: int, row: jax.Array, env: jax.Array
) -> Transition:
    """Read transitions whose next_obs is in the row after theirs, or, of the newest, apart."""
    rows = replay.data.shape[0]
    mark = _gather(replay.data, strata, row, env, slice(_mark_at(replay), None))[..., 0]
    row = (row + jnp.minimum(mark, 0.0).astype(jnp.int32)) % rows
    packed = _gather(replay.data, strata, row, env)
    after = (row + 1) % rows
    stored = _gather(replay.data, strata, after, env, slice(0, replay.obs_size))
    apart = _gather(next_of_newest[None], strata, jnp.zeros_like(row), env)
    is_newest = (after == replay.row % rows)[..., None]
    next_obs = jnp.where(is_newest, apart, stored)
    return _unpack(replay, jnp.concatenate([packed, next_obs], axis=-1))


def _n_steps(
    replay: Replay,
    strata: int,
    row: jax.Array,
    env: jax.Array,
    n_step: int,
    gamma: jax.Array | float,
) -> Transition:
    """Read transitions of n steps: sum_k gamma^k reward_k up to the episode's end, the discount of
    the last step times gamma^(steps - 1), and its next_obs."""
    rows, mark_at = replay.data.shape[0], _mark_at(replay)
    first = _unpack(replay, _gather(replay.data, strata, row, env))
    reward, last = jnp.zeros_like(first.reward), row
    alive = jnp.ones_like(first.reward, bool)
    for k in range(n_step):
        at = (row + k) % rows
        pair = _gather(replay.data, strata, at, env, slice(mark_at - 1, mark_at + 1))
        mark = pair[..., 1]
        if k:
            alive &= mark >= 0.0  # a copy stands for a step that broke
        reward += jnp.where(alive, gamma**k * pair[..., 0], 0.0)
        last = jnp.where(alive, at, last)
        alive &= mark == GOES_ON
    end = _unpack(replay, _gather(replay.data, strata, last, env))
    steps = (last - row) % rows
    return first._replace(
        reward=reward, discount=end.discount * gamma**steps, next_obs=end.next_obs
    )


def _replace_broken(replay: Replay, packed: jax.Array, broken: jax.Array) -> jax.Array:
    mark_at = _mark_at(replay)
    last = jnp.where(replay.row > 0, _newest(replay), packed[jnp.argmin(broken)])
    is_copy = last[:, mark_at] < 0.0
    copy = last.at[:, mark_at].add(jnp.where(is_copy, 0.0, -COPY))
    return jnp.where(broken[:, None], copy, packed)


def _write(replay: Replay, packed: jax.Array, grown: jax.Array | int) -> Replay:
    at = replay.row % replay.data.shape[0]
    data = jax.lax.dynamic_update_index_in_dim(replay.data, packed, at, axis=0)
    return dataclasses.replace(replay, data=data, row=replay.row + grown)


def _newest(replay: Replay) -> jax.Array:
    return replay.data[(replay.row - 1) % replay.data.shape[0]]


def _mark_at(replay: Replay) -> int:
    return replay.obs_size + replay.action_size + 1


def _pack(t: Transition, mark: jax.Array) -> jax.Array:
    return jnp.concatenate([t.obs, t.action, t.reward[..., None], mark[..., None]], axis=-1)


def _unpack(replay: Replay, packed: jax.Array) -> Transition:
    o, a = replay.obs_size, replay.action_size
    obs, action, reward, mark, next_obs = jnp.split(
        packed, [o, o + a, o + a + 1, o + a + 2], axis=-1
    )
    discount = (mark[..., 0] % COPY != TERMINATED).astype(packed.dtype)
    return Transition(obs, action, reward[..., 0], discount, next_obs)
