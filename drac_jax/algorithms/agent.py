"""What every agent has: an actor, twin critics, and their target, which starts as a copy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drac_jax.networks import critics, optim
from drac_jax.types import Actor, Algorithm, Metrics, Params, Trainable, Transition

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


def sampling(
    actor: Actor,
    critic: critics.TwinCritic,
    init: Callable[[jax.Array, Any, int], Any],
    update: Callable[[Any, Transition, jax.Array], tuple[Any, Metrics]],
) -> Algorithm:
    """Make the algorithm that acts by a sample of its actor; its mode is the action of the highest
    min Q among samples of fixed latents."""

    def decide(agent: Any, obs: jax.Array, z: Any) -> jax.Array:
        return actor.apply(agent.actor.params, obs, z)

    def mode(agent: Any, obs: jax.Array) -> jax.Array:
        actions = decide(agent, obs, actor.latent(jax.random.key(0), (MODE_SAMPLES, 1)))
        return critics.best_of(agent.critic.params, critic, obs, actions)

    act, laws = acting(actor.latent, decide), (actor.law,)
    return Algorithm(init, act, mode, update, latent=actor.latent, decide=decide, laws=laws)


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
