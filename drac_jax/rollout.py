"""Acting: one step of every environment, and the transition that it gives."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from drac_jax import replay as ring
from drac_jax.replay import Replay
from drac_jax.types import Environment, EnvState, Transition

Act = Callable[[jax.Array], jax.Array]  # obs [E, O] -> action [E, A]


def env_step(env: Environment, state: EnvState, act: Act) -> tuple[EnvState, Transition]:
    """Step every environment once. -> the next state and the transitions, leaves [E, ...]."""
    action = act(state.obs)
    after = env.step(state, action)
    terminated = after.done & ~after.info["truncation"]
    discount = 1.0 - terminated.astype(jnp.float32)
    transition = Transition(state.obs, action, after.reward, discount, after.info["terminal_obs"])
    return after, transition


def store(replay: Replay, transition: Transition, broken: jax.Array) -> Replay:
    """Write one row, with the last valid transition of each broken environment in place of its
    broken one (before there is any, that of an environment which is valid). broken: [E] bool."""
    first_valid = jax.tree.map(lambda x: x[jnp.argmin(broken)][None], transition)
    last = jax.tree.map(
        lambda old, valid: jnp.where(replay.row > 0, old, valid), ring.newest(replay), first_valid
    )

    def keep_valid(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(broken.reshape(-1, *[1] * (new.ndim - 1)), old, new)

    return ring.add(replay, jax.tree.map(keep_valid, transition, last))
