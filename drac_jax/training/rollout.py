"""Rollouts: step every environment once and return the transitions."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

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
