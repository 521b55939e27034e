"""The amortized actor: one perceptron of the observation and a uniform latent."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from drac_jax.networks.mlp import FLOAT32, MLP, Style
from drac_jax.types import Actor, Params


def amortized(
    action_size: int,
    latent_size: int = 16,
    hidden: tuple[int, ...] = (256, 256),
    law: Callable[[jax.Array, tuple[int, ...]], jax.Array] = jax.random.uniform,
    style: Style = FLOAT32,
) -> Actor:
    """Make the actor a = tanh(MLP(obs, z)), z ~ U[0, 1]^latent_size.

    law: of the latent's coordinates, (key, shape) -> draws, in place of the uniform one; style:
    how the network computes.
    Source: DrAmort of arXiv 2511.01374. Raises ValueError for latent_size < 1, with which the
    policy would be deterministic.
    """
    if latent_size < 1:
        raise ValueError(f"latent_size={latent_size} must be at least 1; the paper uses 16")
    network = MLP((*hidden, action_size), style)

    def init(key: jax.Array, obs_size: int) -> Params:
        return network.init(key, jnp.zeros(obs_size), jnp.zeros(latent_size))

    def latent(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return law(key, (*shape, latent_size))

    def apply(params: Params, obs: jax.Array, z: jax.Array) -> jax.Array:
        return jnp.tanh(network.apply(params, obs, z))

    name = getattr(law, "__name__", "unknown")
    return Actor(action_size, init, latent, apply, name)
