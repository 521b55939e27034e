"""Twin critics: values, targets, loss and the slowly following target network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from drac_jax.networks import ensemble
from drac_jax.types import Params, Transition


class TwinCritic(NamedTuple):
    """Two Q networks of the same shape, their parameters stacked on the first axis."""

    network: nn.Module

    def init(self, key: jax.Array, obs_size: int, action_size: int) -> Params:
        """Draw parameters."""
        return self.network.init(key, jnp.zeros(obs_size), jnp.zeros(action_size))

    def apply(self, params: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Evaluate both. obs: [..., O]; action: [..., A]; leading axes broadcast. -> [..., 2]."""
        return self.network.apply(params, obs, action)[..., 0, :]


def twin_critic(hidden: tuple[int, ...] = (256, 256)) -> TwinCritic:
    """Make two independent Q(obs, action) perceptrons."""
    return TwinCritic(ensemble(2, (*hidden, 1)))


def td_target(batch: Transition, gamma: jax.Array | float, next_value: jax.Array) -> jax.Array:
    """Compute reward + gamma * discount * next_value. next_value: [B] -> [B]."""
    return batch.reward + gamma * batch.discount * next_value


def td_loss(
    params: Params, critic: TwinCritic, batch: Transition, target: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Compute the sum of both critics' mean squared errors, and q: [B, 2]."""
    q = critic.apply(params, batch.obs, batch.action)
    return jnp.square(q - target[:, None]).mean(axis=0).sum(), q


def polyak(target: Params, online: Params, tau: jax.Array | float) -> Params:
    """Move the target parameters by the fraction tau towards the online ones."""
    return jax.tree.map(lambda slow, fast: slow + tau * (fast - slow), target, online)
