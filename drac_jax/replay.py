"""Replay as one ring on device: rows of all environments, a transition packed into one vector.

One contiguous write an iteration and one gather a sample; functions only, so a vmap over seeds
gives every seed its own ring.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from drac_jax.types import Transition


@struct.dataclass
class Replay:
    """data: [T, E, D], packed transitions; row: int32, rows written so far, the next goes to
    row % T. obs_size and action_size say how to unpack."""

    data: jax.Array
    row: jax.Array
    obs_size: int = struct.field(pytree_node=False)
    action_size: int = struct.field(pytree_node=False)


def width(obs_size: int, action_size: int) -> int:
    """Count the floats of one packed transition: obs, action, reward, discount, next_obs."""
    return 2 * obs_size + action_size + 2


def nbytes(capacity: int, obs_size: int, action_size: int) -> int:
    """Count the bytes that `capacity` transitions take."""
    return 4 * capacity * width(obs_size, action_size)


def init(rows: int, num_envs: int, obs_size: int, action_size: int) -> Replay:
    """Make an empty ring of rows x num_envs transitions."""
    data = jnp.zeros((rows, num_envs, width(obs_size, action_size)))
    return Replay(data, jnp.zeros((), jnp.int32), obs_size, action_size)


def add(replay: Replay, transition: Transition) -> Replay:
    """Write one row. transition: leaves [E, ...]."""
    at = replay.row % replay.data.shape[0]
    data = jax.lax.dynamic_update_index_in_dim(replay.data, _pack(transition), at, axis=0)
    return dataclasses.replace(replay, data=data, row=replay.row + 1)


def sample(replay: Replay, key: jax.Array, shape: tuple[int, ...]) -> Transition:
    """Draw transitions uniformly with replacement from those written. -> leaves [*shape, ...]."""
    rows, num_envs, size = replay.data.shape
    filled = jnp.minimum(replay.row, rows) * num_envs
    index = jax.random.randint(key, shape, 0, filled)
    return _unpack(replay, replay.data.reshape(rows * num_envs, size)[index])


def newest(replay: Replay) -> Transition:
    """Read the row written last. -> leaves [E, ...]; zeros while nothing is written."""
    return _unpack(replay, replay.data[(replay.row - 1) % replay.data.shape[0]])


def _pack(t: Transition) -> jax.Array:
    scalars = (t.reward[..., None], t.discount[..., None])
    return jnp.concatenate([t.obs, t.action, *scalars, t.next_obs], axis=-1)


def _unpack(replay: Replay, packed: jax.Array) -> Transition:
    o, a = replay.obs_size, replay.action_size
    obs, action, reward, discount, next_obs = jnp.split(
        packed, [o, o + a, o + a + 1, o + a + 2], axis=-1
    )
    return Transition(obs, action, reward[..., 0], discount[..., 0], next_obs)
