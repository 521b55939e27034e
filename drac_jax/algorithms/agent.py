"""What every agent has: an actor, twin critics, and their target, which starts as a copy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drac_jax.networks import critics, optim
from drac_jax.types import Actor, Params, Trainable

MODE_SAMPLES = 16


class Networks(NamedTuple):
    """What all agents have. hparams: leaves float32."""

    actor: Trainable
    critic: Trainable
    target_critic: Params
    hparams: Any


def acting(
    latent: Callable[[jax.Array, tuple[int, ...]], Any],
    decide: Callable[[Any, jax.Array, Any], jax.Array],
) -> Callable[[Any, jax.Array, jax.Array], jax.Array]:
    """Make an algorithm's `act` of its two parts: draw a latent per observation, then decide."""

    def act(agent: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
        return decide(agent, obs, latent(key, obs.shape[:-1]))

    return act


def best_of_samples(actor: Actor, critic: critics.TwinCritic) -> Callable[..., jax.Array]:
    """Make an algorithm's `mode`: the action of the highest min Q among samples of fixed
    latents."""

    def mode(agent: Any, obs: jax.Array) -> jax.Array:
        latents = actor.latent(jax.random.key(0), (MODE_SAMPLES, 1))
        actions = actor.apply(agent.actor.params, obs, latents)
        return critics.best_of(agent.critic.params, critic, obs, actions)

    return mode


def init_networks(key: jax.Array, actor: Any, critic: Any, hparams: Any, obs_size: int) -> Networks:
    """Draw the networks; the target critic starts as a copy of the critic.

    actor: has action_size and init(key, obs_size); critic: init(key, obs_size, action_size).
    """
    actor_key, critic_key = jax.random.split(key)
    critic_params = critic.init(critic_key, obs_size, actor.action_size)
    return Networks(
        optim.init(actor.init(actor_key, obs_size)),
        optim.init(critic_params),
        critic_params,
        jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), hparams),
    )
