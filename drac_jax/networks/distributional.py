"""Twin critics of the return's distribution, and the refined loss of DSAC-T.

Each critic is a Gaussian of the return, by its mean and its standard deviation. Source: DSAC-T,
arXiv 2310.05858, with the constants of DACER's reference implementation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from drac_jax.networks import critics, optim
from drac_jax.networks.columns import Columns, Seeing, seeing
from drac_jax.networks.mlp import FLOAT32, MLP, Style, ensemble
from drac_jax.types import Params, Trainable, Transition

CLIP = 3.0  # standard deviations, of a sampled return and of its error
EPS = 0.1  # added to variances that weigh or divide


class Heads(NamedTuple):
    """What both critics say of the return. mean, std: [..., 2]."""

    mean: jax.Array
    std: jax.Array


class Target(NamedTuple):
    """What both critics are fitted to. mean: [B], for their means; sample: [B], one return, for
    their standard deviations."""

    mean: jax.Array
    sample: jax.Array


class DistributionalTwin(NamedTuple):
    """Two networks of the same shape, their parameters stacked on the first axis."""

    network: nn.Module | Seeing

    def init(self, key: jax.Array, obs_size: int, action_size: int) -> Params:
        """Draw parameters."""
        return self.network.init(key, jnp.zeros(obs_size), jnp.zeros(action_size))

    def apply(self, params: Params, obs: jax.Array, action: jax.Array) -> Heads:
        """Evaluate both. obs: [..., O]; action: [..., A]; leading axes broadcast."""
        out = self.network.apply(params, obs, action)
        return Heads(out[..., 0, :], jax.nn.softplus(out[..., 1, :]))


def distributional_twin(
    hidden: tuple[int, ...] = (256, 256), style: Style = FLOAT32, columns: Columns = None
) -> DistributionalTwin:
    """Make two independent perceptrons of (obs, action) with two outputs each. columns: of obs,
    that they see."""
    return DistributionalTwin(seeing(ensemble(2, MLP, (*hidden, 2), style), columns))


PERCEPTRONS = distributional_twin()  # the paper's


def td_target(
    batch: Transition, gamma: jax.Array | float, next_heads: Heads, noise: jax.Array
) -> Target:
    """Compute both targets from the critic with the smaller mean.

    noise: [B, 2], standard normal, one for each critic; clipped to +-3.
    """
    smaller = next_heads.mean.argmin(axis=-1, keepdims=True)
    noise = jnp.clip(noise, -CLIP, CLIP)
    mean, std, noise = (
        jnp.take_along_axis(x, smaller, axis=-1)[..., 0] for x in (*next_heads, noise)
    )
    sample = mean + noise * std
    return Target(*(critics.td_target(batch, gamma, value) for value in (mean, sample)))


def follow(running_std: jax.Array, std: jax.Array, tau: jax.Array | float) -> jax.Array:
    """Move each critic's running mean of std by tau; the first batch sets it.

    running_std: [2], 0 before the first; std: [B, 2].
    """
    batch_mean = std.mean(axis=0)
    moved = running_std + tau * (batch_mean - running_std)
    return jnp.where(running_std > 0.0, moved, batch_mean)


def td_loss(
    params: Params,
    critic: DistributionalTwin,
    batch: Transition,
    target: Target,
    running_std: jax.Array,
    tau: jax.Array | float,
) -> tuple[jax.Array, tuple[Heads, jax.Array]]:
    """Compute the loss, and the heads with the running std [2], updated before it is used.

    Its value means little; its gradient is that of the likelihood of Gaussian returns, the mean's
    part towards target.mean, the std's towards the squared error of target.sample, which is clipped
    to +-3 running std; both divided by the variance and weighed by the running one.
    """
    heads = critic.apply(params, batch.obs, batch.action)
    mean, std = jax.lax.stop_gradient(heads)
    running_std = follow(running_std, std, tau)
    limit = CLIP * running_std
    error = jnp.clip(target.sample[:, None] - mean, -limit, limit)
    mean_pull = (target.mean[:, None] - mean) / (jnp.square(std) + EPS)
    std_pull = (jnp.square(error) - jnp.square(std)) / (std**3 + EPS)
    pulled = (mean_pull * heads.mean + std_pull * heads.std).mean(axis=0)
    return -((jnp.square(running_std) + EPS) * pulled).sum(), (heads, running_std)


def regress(
    trainable: Trainable,
    critic: DistributionalTwin,
    batch: Transition,
    target: Target,
    running_std: jax.Array,
    tau: jax.Array | float,
    learning_rate: jax.Array | float,
) -> tuple[Trainable, jax.Array, jax.Array, Heads]:
    """Take one step towards the target. -> the critics, the running std, and their loss and heads
    before the step."""
    grad = jax.value_and_grad(td_loss, has_aux=True)
    (loss, (heads, running_std)), grads = grad(
        trainable.params, critic, batch, target, running_std, tau
    )
    return optim.adam(trainable, grads, learning_rate), running_std, loss, heads
