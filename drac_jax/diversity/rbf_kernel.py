"""The RBF kernel between two sets of particles of a state, and the sums of it that Stein's
variational gradient is made of.

The bandwidth follows the particles (half their mean squared distance over twice log(n + 1)) and is
a constant for differentiation. All sums over pairs are products of matrices, [B, n, n] by [n, A]
for each state: no array of [B, n, n, A] is built.

Source: arXiv 1608.04471 (SVGD); the bandwidth is that of the baselines of arXiv 2511.01374.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

GAMMA_EPS = 1e-8  # of the reference; keeps gamma finite where all particles coincide


class Rbf(NamedTuple):
    """The kernel of B states: k_ij = exp(-gamma ||x_i - y_j||^2).

    kernel, squared: [B, n, m], k and the squared distances; gamma: [B]; x: [n, B, A] and
    y: [m, B, A], the particles about their centre.
    """

    kernel: jax.Array
    squared: jax.Array
    gamma: jax.Array
    x: jax.Array
    y: jax.Array


def rbf(x: jax.Array, y: jax.Array) -> Rbf:
    """Evaluate the kernel between the particles x: [n, B, A] and y: [m, B, A] of each state."""
    # ||x - y||^2 = ||x||^2 + ||y||^2 - 2 x.y cancels badly unless the norms are about as small as
    # the distances. Only differences matter, so the centre has no gradient.
    centre = jax.lax.stop_gradient(x.mean(axis=0))
    x, y = x - centre, y - centre
    norms = square(x).T[:, :, None] + square(y).T[:, None, :]
    squared = jnp.maximum(norms - 2.0 * jnp.einsum("iba,jba->bij", x, y), 0.0)
    gamma = inverse_width(squared)
    return Rbf(jnp.exp(-gamma[:, None, None] * squared), squared, gamma, x, y)


def square(x: jax.Array) -> jax.Array:
    """Compute ||x||^2. x: [..., A] -> [...]."""
    return jnp.square(x).sum(axis=-1)


def inverse_width(squared: jax.Array) -> jax.Array:
    """Compute gamma = 1 / (2 sigma^2) with sigma^2 = (mean squared distance / 2) / (2 log(n + 1)),
    without gradient. squared: [B, n, m] -> [B]."""
    n = squared.shape[1]
    variance = squared.mean(axis=(1, 2)) / (4.0 * math.log(n + 1.0))
    return jax.lax.stop_gradient(1.0 / (GAMMA_EPS + 2.0 * variance))


def width(gamma: jax.Array) -> jax.Array:
    """Compute the kernel's sigma. gamma: [B] -> [B]."""
    return jnp.sqrt((1.0 / gamma - GAMMA_EPS) / 2.0)


def direction(k: Rbf, score: jax.Array) -> jax.Array:
    """Compute Stein's direction of the particles y: where to move them together.

    phi_j = 1/n sum_i (k_ij score_i + grad_{x_i} k_ij), with grad_{x_i} k_ij =
    -2 gamma k_ij (x_i - y_j). score: [n, B, A], the gradient of the log-density at x.
    -> [m, B, A].
    """
    slope = 2.0 * k.gamma[:, None]
    drawn = jnp.einsum("bij,iba->jba", k.kernel, score - slope * k.x)
    pushed = slope * k.y * k.kernel.sum(axis=1).T[:, :, None]
    return (drawn + pushed) / k.x.shape[0]


def divergence(k: Rbf, score: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Compute the two terms of the divergence of `direction` at each particle, where y is x.

    The first is 1/(n-1) sum_j grad_{x_i} k_ij . score_j, the second
    1/(n-1) sum_{j != i} 2 gamma k_ij (A - 2 gamma ||x_i - x_j||^2); each -> [n, B].
    Source: the trace terms of S2AC, arXiv 2405.00987 (ICLR 2024).
    """
    n, _, action_size = k.x.shape
    slope = 2.0 * k.gamma
    felt = jnp.einsum("bij,jba->iba", k.kernel, score)
    told = jnp.einsum("bij,jb->ib", k.kernel, (k.x * score).sum(axis=-1))
    of_score = slope * (told - (k.x * felt).sum(axis=-1))
    curvature = k.kernel * (action_size - slope[:, None, None] * k.squared)
    others = 1.0 - jnp.eye(n, dtype=curvature.dtype)
    of_kernel = slope * (others * curvature).sum(axis=2).T
    return of_score / (n - 1), of_kernel / (n - 1)
