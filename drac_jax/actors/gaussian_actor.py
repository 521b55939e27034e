"""The squashed Gaussian actor of SAC: the one policy here whose density is known."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from drac_jax.networks.columns import Seeing
from drac_jax.networks.mlp import FLOAT32, MLP, Style
from drac_jax.types import Params

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0  # of the reference


class Gaussian(NamedTuple):
    """a = tanh(mu(s) + sigma(s) eps), eps ~ N(0, I); one perceptron gives mu and log sigma."""

    action_size: int
    network: nn.Module | Seeing

    def init(self, key: jax.Array, obs_size: int) -> Params:
        """Draw parameters."""
        return self.network.init(key, jnp.zeros(obs_size))

    def latent(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Draw eps: [*shape, A]."""
        return jax.random.normal(key, (*shape, self.action_size))

    def sample(self, params: Params, obs: jax.Array, eps: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map an observation [..., O] and eps [..., A] to an action [..., A] and its log-density
        [...]."""
        mu, log_std = self.moments(params, obs)
        return squash(mu, log_std, eps)

    def moments(self, params: Params, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Evaluate mu and log sigma, before its clamp. obs: [..., O] -> [..., A] each."""
        mu, log_std = jnp.split(self.network.apply(params, obs), 2, axis=-1)
        return mu, log_std


def gaussian(
    action_size: int, hidden: tuple[int, ...] = (256, 256), style: Style = FLOAT32
) -> Gaussian:
    """Make the actor of SAC (arXiv 1812.05905)."""
    return Gaussian(action_size, MLP((*hidden, 2 * action_size), style))


def squash(mu: jax.Array, log_std: jax.Array, eps: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Compute the action tanh(mu + sigma eps) and its log-density. [..., A] -> [..., A], [...].

    log sigma is clamped to [-20, 2].
    """
    log_std = jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX)
    u = mu + jnp.exp(log_std) * eps
    return jnp.tanh(u), (log_normal(eps, log_std) - log_tanh_slope(u)).sum(axis=-1)


def log_normal(eps: jax.Array, log_std: jax.Array) -> jax.Array:
    """Compute the log-density of each coordinate mu + sigma eps of a Gaussian."""
    return -0.5 * jnp.square(eps) - log_std - 0.5 * math.log(2.0 * math.pi)


def log_tanh_slope(u: jax.Array) -> jax.Array:
    """Compute log(1 - tanh(u)^2), which stays exact where tanh saturates."""
    return 2.0 * (math.log(2.0) - u - jax.nn.softplus(-2.0 * u))
