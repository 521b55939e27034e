"""How a critic says a value: as a number, or as a histogram whose mean it is."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

SMOOTHING = 0.75  # standard deviation of a target's Gaussian, in bins


class ValueHead(NamedTuple):
    """The last layer of both critics, and what they learn from.

    outputs: how many, of each. value: (out [..., outputs, 2]) -> [..., 2]. loss: (out [B, outputs,
    2], target [B]) -> [], the sum of both critics' means.
    """

    outputs: int
    value: Callable[[jax.Array], jax.Array]
    loss: Callable[[jax.Array, jax.Array], jax.Array]


def _number(out: jax.Array) -> jax.Array:
    return out[..., 0, :]


def _squared(out: jax.Array, target: jax.Array) -> jax.Array:
    return jnp.square(_number(out) - target[:, None]).mean(axis=0).sum()


NUMBER = ValueHead(1, _number, _squared)


def histogram(low: float, high: float, bins: int = 101) -> ValueHead:
    """Make the head that gives each of `bins` equal bins of [low, high] a probability, whose mean
    is the value, and learns them by cross-entropy.

    A target is spread over the bins by a Gaussian of 0.75 bins; outside of [low, high] it counts as
    the nearer end. Source: HL-Gauss of "Stop Regressing", arXiv 2403.03950. Raises ValueError for
    an empty range and fewer than two bins.
    """
    if not -math.inf < low < high < math.inf:
        raise ValueError(
            f"value_range={low:g} {high:g} must be two finite numbers, the lowest return first"
        )
    if bins < 2:
        raise ValueError(f"bins={bins} must be at least 2; use 101")
    edges = np.linspace(low, high, bins + 1)
    centres = (edges[:-1] + edges[1:]) / 2.0

    def value(out: jax.Array) -> jax.Array:
        probabilities = jax.nn.softmax(out, axis=-2)
        return (probabilities * jnp.asarray(centres, out.dtype)[:, None]).sum(axis=-2)

    def loss(out: jax.Array, target: jax.Array) -> jax.Array:
        told = spread(jnp.clip(target, centres[0], centres[-1]), jnp.asarray(edges, out.dtype))
        log_probabilities = jax.nn.log_softmax(out, axis=-2)
        return -(told[..., None] * log_probabilities).sum(axis=-2).mean(axis=0).sum()

    return ValueHead(bins, value, loss)


def spread(target: jax.Array, edges: jax.Array) -> jax.Array:
    """Compute the share of a Gaussian around each target that lies in each bin, of all that lies in
    any. target: [B]; edges: [N + 1], equally far apart -> [B, N]."""
    scale = jnp.sqrt(2.0) * SMOOTHING * (edges[1] - edges[0])
    below = jax.scipy.special.erf((edges - target[:, None]) / scale)
    return jnp.diff(below, axis=-1) / (below[:, -1:] - below[:, :1])
