"""Twin critics: values, targets, loss and the slowly following target network."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from drac_jax.networks import optim
from drac_jax.networks.columns import Columns, Seeing, seeing
from drac_jax.networks.mlp import FLOAT32, MLP, Style, ensemble
from drac_jax.networks.residual import ResidualMLP
from drac_jax.networks.value_heads import NUMBER, ValueHead
from drac_jax.types import Params, Trainable, Transition

Layers = Literal["plain", "residual"]


class TwinCritic(NamedTuple):
    """Two Q networks of the same shape, their parameters stacked on the first axis."""

    network: nn.Module | Seeing
    head: ValueHead = NUMBER

    def init(self, key: jax.Array, obs_size: int, action_size: int) -> Params:
        """Draw parameters."""
        return self.network.init(key, jnp.zeros(obs_size), jnp.zeros(action_size))

    def apply(self, params: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Evaluate both. obs: [..., O]; action: [..., A]; leading axes broadcast. -> [..., 2]."""
        return self.head.value(self.network.apply(params, obs, action))


def twin_critic(
    hidden: tuple[int, ...] = (256, 256),
    style: Style = FLOAT32,
    columns: Columns = None,
    layers: Layers = "plain",
    head: ValueHead = NUMBER,
) -> TwinCritic:
    """Make two independent Q(obs, action) networks. columns: of obs, that they see; layers: those
    of a perceptron, or `ResidualMLP`'s. Raises ValueError for residual layers of several sizes."""
    if layers == "plain":
        return TwinCritic(seeing(ensemble(2, MLP, (*hidden, head.outputs), style), columns), head)
    if len({*hidden}) > 1:
        raise ValueError(
            f"hidden={hidden}: residual critics have layers of one size; use (256, 256)"
        )
    return TwinCritic(seeing(ensemble(2, ResidualMLP, hidden, head.outputs, style), columns), head)


PERCEPTRONS = twin_critic()  # the paper's


def td_target(batch: Transition, gamma: jax.Array | float, next_value: jax.Array) -> jax.Array:
    """Compute reward + gamma * discount * next_value. next_value: [B] -> [B]."""
    return batch.reward + gamma * batch.discount * next_value


def td_loss(
    params: Params, critic: TwinCritic, batch: Transition, target: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Compute the sum of both critics' losses, mean squared errors of numbers, and q: [B, 2]."""
    out = critic.network.apply(params, batch.obs, batch.action)
    return critic.head.loss(out, target), critic.head.value(out)


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
