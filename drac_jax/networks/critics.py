"""Twin critics: values, targets, loss and the slowly following target network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from drac_jax.networks import optim
from drac_jax.networks.columns import Columns, Seeing, seeing
from drac_jax.networks.mlp import FLOAT32, Style, ensemble
from drac_jax.types import Params, Trainable, Transition


class TwinCritic(NamedTuple):
    """Two Q networks of the same shape, their parameters stacked on the first axis."""

    network: nn.Module | Seeing

    def init(self, key: jax.Array, obs_size: int, action_size: int) -> Params:
        """Draw parameters."""
        return self.network.init(key, jnp.zeros(obs_size), jnp.zeros(action_size))

    def apply(self, params: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Evaluate both. obs: [..., O]; action: [..., A]; leading axes broadcast. -> [..., 2]."""
        return self.network.apply(params, obs, action)[..., 0, :]


def twin_critic(
    hidden: tuple[int, ...] = (256, 256), style: Style = FLOAT32, columns: Columns = None
) -> TwinCritic:
    """Make two independent Q(obs, action) perceptrons. columns: of obs, that they see."""
    return TwinCritic(seeing(ensemble(2, (*hidden, 1), style), columns))


PERCEPTRONS = twin_critic()  # the paper's


def td_target(batch: Transition, gamma: jax.Array | float, next_value: jax.Array) -> jax.Array:
    """Compute reward + gamma * discount * next_value. next_value: [B] -> [B]."""
    return batch.reward + gamma * batch.discount * next_value


def td_loss(
    params: Params, critic: TwinCritic, batch: Transition, target: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Compute the sum of both critics' mean squared errors, and q: [B, 2]."""
    q = critic.apply(params, batch.obs, batch.action)
    return jnp.square(q - target[:, None]).mean(axis=0).sum(), q


def regress(
    trainable: Trainable,
    critic: TwinCritic,
    batch: Transition,
    target: jax.Array,
    learning_rate: jax.Array | float,
) -> tuple[Trainable, jax.Array, jax.Array]:
    """Take one step towards the target [B]. -> the critics, their loss before it, and q: [B, 2]."""
    grad = jax.value_and_grad(td_loss, has_aux=True)
    (loss, q), grads = grad(trainable.params, critic, batch, target)
    return optim.adam(trainable, grads, learning_rate), loss, q


def score(
    params: Params, critic: TwinCritic, obs: jax.Array, actions: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Evaluate min_i Q_i and its gradient with respect to the action.

    obs: [B, O]; actions: [K, B, A] -> [K, B] and [K, B, A].
    """
    q, pull_back = jax.vjp(lambda a: critic.apply(params, obs, a).min(axis=-1), actions)
    return q, pull_back(jnp.ones_like(q))[0]


def best_of(params: Params, critic: TwinCritic, obs: jax.Array, actions: jax.Array) -> jax.Array:
    """Pick the action of the highest min Q of each state. obs: [E, O]; actions: [K, E, A]
    -> [E, A]."""
    return pick(actions, critic.apply(params, obs, actions).min(axis=-1))


def pick(actions: jax.Array, q: jax.Array) -> jax.Array:
    """Take each state's action of the highest q: [K, E]. actions: [K, E, A] -> [E, A]."""
    return jnp.take_along_axis(actions, q.argmax(axis=0)[None, :, None], axis=0)[0]


def polyak(target: Params, online: Params, tau: jax.Array | float) -> Params:
    """Move the target parameters by the fraction tau towards the online ones."""
    return jax.tree.map(lambda slow, fast: slow + tau * (fast - slow), target, online)
