"""Entropy of a policy without a density: a Gaussian mixture fitted to its action samples.

DACER (arXiv 2405.15177) estimates H(s) so. The fit is expectation-maximisation, of
all states at once and a fixed number of steps; its constants are those of scikit-learn's
GaussianMixture, with which the reference implementation fits.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

COVARIANCE_FLOOR = 1e-6  # added to every variance, as in scikit-learn
LLOYD_STEPS = 10
TRIALS = 3  # of a centre; scikit-learn has 2 + log(components)
EM_STEPS = 30  # scikit-learn stops where the likelihood has settled, at most after 100


class Mixture(NamedTuple):
    """Gaussian mixtures, one a state. weight: [S, K]; mean: [S, K, A]; covariance: [S, K, A, A]."""

    weight: jax.Array
    mean: jax.Array
    covariance: jax.Array


def check_components(components: int, samples: int) -> None:
    """Raise ValueError where a mixture cannot be fitted."""
    if not 1 <= components <= samples:
        raise ValueError(
            f"components={components} must be in 1..{samples}, the samples of a state; the paper "
            f"fits 3 to 200"
        )


def estimate(
    samples: jax.Array, key: jax.Array, components: int = 3, steps: int = EM_STEPS
) -> jax.Array:
    """Estimate the entropy of each state's samples, in nats. samples: [S, N, A] -> [S].

    Dimensions in which samples coincide (clipped actions) count as Gaussians of variance 1e-6.
    Raises ValueError where components is not in 1..N. Differs from scikit-learn in a fixed number
    of steps, of the clustering and of the fit, instead of a tolerance.
    """
    check_components(components, samples.shape[-2])
    return entropy(em(start(samples, key, components), samples, steps))


def entropy(mixture: Mixture) -> jax.Array:
    """Compute sum_k w_k (-log w_k + H(N_k)), the entropy of component and action together, which
    bounds the mixture's from above. -> [S]."""
    size = mixture.mean.shape[-1]
    log_volume = whiten(mixture.covariance)[1]
    gaussian = 0.5 * size * (1.0 + math.log(2.0 * math.pi)) + log_volume
    return (mixture.weight * (gaussian - jnp.log(mixture.weight))).sum(axis=-1)


def start(samples: jax.Array, key: jax.Array, components: int) -> Mixture:
    """Cluster the samples, k-means++ and some Lloyd steps, and describe the clusters."""
    centres = spread_centres(samples, key, components)
    centres, _ = jax.lax.scan(lambda c, _: (_lloyd(c, samples), None), centres, None, LLOYD_STEPS)
    return describe(_nearest(centres, samples), samples)


def spread_centres(samples: jax.Array, key: jax.Array, components: int) -> jax.Array:
    """Draw samples as centres (greedy k-means++): of TRIALS candidates, each as probable as its
    squared distance to the nearest centre so far, the one that leaves the others nearest.
    -> [S, K, A]."""
    first_key, *keys = jax.random.split(key, components)
    states = jnp.arange(samples.shape[0])
    centres = [samples[states, jax.random.randint(first_key, states.shape, 0, samples.shape[1])]]
    square = jnp.square(samples - centres[0][:, None]).sum(axis=-1)
    for next_key in keys:
        shape = (TRIALS, samples.shape[0])
        drawn = samples[states, jax.random.categorical(next_key, jnp.log(square), shape=shape)]
        left = jnp.minimum(square, jnp.square(samples - drawn[:, :, None]).sum(axis=-1))
        best = left.sum(axis=-1).argmin(axis=0)
        square = left[best, states]
        centres.append(drawn[best, states])
    return jnp.stack(centres, axis=1)


def _nearest(centres: jax.Array, samples: jax.Array) -> jax.Array:
    """Mark each sample's nearest centre with 1. -> [S, K, N]."""
    square = jnp.square(samples[:, None] - centres[:, :, None]).sum(axis=-1)
    return jax.nn.one_hot(square.argmin(axis=1), centres.shape[1], dtype=samples.dtype, axis=1)


def _lloyd(centres: jax.Array, samples: jax.Array) -> jax.Array:
    """Move each centre to the mean of its samples; one without samples stays."""
    share = _nearest(centres, samples)
    count = share.sum(axis=-1)[..., None]
    return jnp.where(count > 0.0, _dot(share, samples) / jnp.maximum(count, 1.0), centres)


def em(mixture: Mixture, samples: jax.Array, steps: int) -> Mixture:
    """Take `steps` steps of expectation-maximisation."""

    def step(mixture: Mixture, _: None) -> tuple[Mixture, None]:
        return describe(responsibility(mixture, samples), samples), None

    return jax.lax.scan(step, mixture, None, steps)[0]


def responsibility(mixture: Mixture, samples: jax.Array) -> jax.Array:
    """Compute the probability that each component made each sample. -> [S, K, N]."""
    whitener, log_volume = whiten(mixture.covariance)
    apart = _dot(samples[:, None] - mixture.mean[:, :, None], jnp.swapaxes(whitener, -1, -2))
    log_weight = jnp.log(mixture.weight) - log_volume
    return jax.nn.softmax(log_weight[..., None] - 0.5 * jnp.square(apart).sum(axis=-1), axis=1)


def describe(share: jax.Array, samples: jax.Array) -> Mixture:
    """Fit each component to its share of the samples. share: [S, K, N]."""
    count = share.sum(axis=-1) + 10.0 * jnp.finfo(share.dtype).eps
    mean = _dot(share, samples) / count[..., None]
    # Not E[x x'] - mean mean', which cancels in float32.
    apart = samples[:, None] - mean[:, :, None]
    scatter = _dot(jnp.swapaxes(share[..., None] * apart, -1, -2), apart)
    floor = COVARIANCE_FLOOR * jnp.eye(samples.shape[-1], dtype=samples.dtype)
    covariance = scatter / count[..., None, None] + floor
    return Mixture(count / count.sum(axis=-1, keepdims=True), mean, covariance)


def whiten(covariance: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Invert the Cholesky factor: W with W C W' = I, and log det C / 2.

    covariance: [..., A, A] -> [..., A, A], [...]. Eliminates below the diagonal of (C | I), which
    turns I into W. A pivot of F + 1e-6 I, F positive semidefinite, is at least 1e-6, so to hold it
    there changes nothing but rounding errors, which would end in NaN.
    """
    size = covariance.shape[-1]
    identity = jnp.broadcast_to(jnp.eye(size, dtype=covariance.dtype), covariance.shape)
    rows = jnp.concatenate([covariance, identity], axis=-1)

    def eliminate(rows: jax.Array, j: jax.Array) -> tuple[jax.Array, jax.Array]:
        row = jax.lax.dynamic_index_in_dim(rows, j, -2)
        column = jax.lax.dynamic_index_in_dim(rows, j, -1)
        pivot = jnp.maximum(jnp.take(row, j, axis=-1)[..., None], COVARIANCE_FLOOR)
        index = jnp.arange(size)[:, None]
        below = rows - jnp.where(index > j, column / pivot, 0.0) * row
        return jnp.where(index == j, row / jnp.sqrt(pivot), below), jnp.log(pivot[..., 0, 0])

    rows, log_pivots = jax.lax.scan(eliminate, rows, jnp.arange(size))
    return rows[..., size:], 0.5 * log_pivots.sum(axis=0)


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    # An accelerator's default precision would drown the variance floor.
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
