"""The mean over all pairs of a state's action samples, in few passes over memory.

XLA's CPU backend vectorises over the last axis, and that of actions, [n, B, A], is too short: a
sum over it is one multiplication at a time. So the samples are put in blocks of states with the
states last, `[n, B / L, A, L]`, once; the distances are sums over A of whole vectors, and the
backward pass, which needs nothing but them, is one loop a sample over the actions as they came.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

DISTANCE_EPS = 1e-5  # of the reference; keeps the log finite where two samples coincide
LANES = 32  # states of a block: its samples fit the first-level cache
MOST_FACTORS = 5  # distances of a product: neither (1e-5)^5 nor (2 sqrt(A))^5 leaves float32
MOST_TERMS = 1024  # the loops over pairs and coordinates are unrolled up to here


class Mean(NamedTuple):
    """The mean of the distances that D stands for: E transform(distance), and the way back.

    slope: the derivative of `transform`; total: the sum of the transforms of many distances.
    """

    transform: Callable[[jax.Array], jax.Array]
    inverse: Callable[[jax.Array], jax.Array]
    slope: Callable[[jax.Array], jax.Array]
    total: Callable[[list[jax.Array]], jax.Array]


def log_total(distances: list[jax.Array]) -> jax.Array:
    """Sum the logs of distances as few logs of products."""
    groups = [distances[k : k + MOST_FACTORS] for k in range(0, len(distances), MOST_FACTORS)]
    return sum_of([jnp.log(math.prod(group[1:], start=group[0])) for group in groups])


def sum_of(terms: list[jax.Array]) -> jax.Array:
    """Add arrays of one shape, of which there is at least one."""
    return sum(terms[1:], start=terms[0])


GEOMETRIC = Mean(jnp.log, jnp.exp, jnp.reciprocal, log_total)
ARITHMETIC = Mean(lambda distance: distance, lambda distance: distance, jnp.ones_like, sum_of)


def distance(difference: jax.Array) -> jax.Array:
    """Compute ||difference|| + 1e-5. difference: [..., A] -> [...].

    The norm has no gradient at 0; coincident samples get 0, the smallest of its subgradients.
    """
    square = jnp.square(difference).sum(axis=-1)
    apart = square > 0.0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0) + DISTANCE_EPS


def mean_of_pairs(mean: Mean, actions: jax.Array) -> jax.Array:
    """Average the transformed distances of all n (n - 1) / 2 pairs. actions: [n, B, A] -> [B].

    On a CPU in blocks of states; an accelerator, and what is too large to unroll, takes the plain
    form. Both give the same to rounding.
    """
    n, _, action_size = actions.shape
    small = (n - 1) * action_size <= MOST_TERMS and n * n <= MOST_TERMS
    blocked = small and jax.default_backend() == "cpu"
    return (blocked_mean if blocked else plain_mean)(mean, actions)


def plain_mean(mean: Mean, actions: jax.Array) -> jax.Array:
    """Sum over cyclic shifts, which meet every pair once and need no gather.

    n = 6, rows paired with themselves shifted by s (for s = n/2 the second half repeats the first):
      s = 1: 01 12 23 34 45 50    s = 2: 02 13 24 35 40 51    s = 3: 03 14 25
    """
    n = actions.shape[0]
    total = jnp.zeros(actions.shape[1:-1], actions.dtype)
    for shift in range(1, n // 2 + 1):
        difference = actions - jnp.roll(actions, -shift, axis=0)
        if 2 * shift == n:
            difference = difference[:shift]
        total = total + mean.transform(distance(difference)).sum(axis=0)
    return total / (n * (n - 1) / 2)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def blocked_mean(mean: Mean, actions: jax.Array) -> jax.Array:
    """Do as `mean_of_pairs` says in blocks of states, with a backward pass of its own."""
    return _forward(mean, actions)[0]


def _forward(mean: Mean, actions: jax.Array) -> tuple[jax.Array, tuple]:
    n, batch, _ = actions.shape
    norms = pair_norms(states_last(actions))
    distances = [norms[s][i] + DISTANCE_EPS for s in range(1, n) for i in range(n - s)]
    return mean.total(distances).reshape(batch) / len(distances), (actions, norms)


def _backward(mean: Mean, residuals: tuple, cotangent: jax.Array) -> tuple[jax.Array]:
    """Compute sum_j w_ij (x_i - x_j) for each sample i, from the norms alone: w is the slope of
    the transform over the norm, and 0 where two samples coincide."""
    actions, norms = residuals
    n, batch, action_size = actions.shape
    x = actions.reshape(n, -1, lanes_of(batch), action_size)
    scale = cotangent.reshape(x.shape[1:3]) / (n * (n - 1) / 2)

    def weight(norm: jax.Array) -> jax.Array:
        apart = norm > 0.0
        slope = mean.slope(norm + DISTANCE_EPS) / jnp.where(apart, norm, 1.0)
        return jnp.where(apart, scale * slope, 0.0)

    def gradient(i: int) -> jax.Array:
        others = [j for j in range(n) if j != i]
        return sum_of([weights[abs(i - j)][min(i, j), :, :, None] * (x[i] - x[j]) for j in others])

    # Without the barriers XLA computes a weight again for every coordinate, and each sample's
    # gradient behind a branch on its index.
    weights = jax.lax.optimization_barrier(jax.tree.map(weight, norms))
    rows = jax.lax.optimization_barrier([gradient(i) for i in range(n)])
    return (jnp.stack(rows).reshape(actions.shape),)


blocked_mean.defvjp(_forward, _backward)


def lanes_of(batch: int) -> int:
    """Choose the states of a block: as many as `LANES` that divide the batch."""
    return math.gcd(batch, LANES)


def states_last(actions: jax.Array) -> jax.Array:
    """Arrange [n, B, A] as [n, B / L, A, L]."""
    n, batch, action_size = actions.shape
    lanes = lanes_of(batch)
    blocks = actions.reshape(n, -1, lanes, action_size).transpose(0, 1, 3, 2)
    # Without merged axes and a barrier, XLA takes the order of the input and moves nothing. The
    # samples stay apart, so that devices can share out the states.
    merged = jax.lax.optimization_barrier(blocks.reshape(n, -1, action_size * lanes))
    return merged.reshape(n, -1, action_size, lanes)


def pair_norms(x: jax.Array) -> dict[int, jax.Array]:
    """Compute ||x_i - x_(i + s)|| of all pairs. x: [n, B / L, A, L] -> {s: [n - s, B / L, L]}."""
    n, _, action_size, _ = x.shape

    def norms(shift: int) -> jax.Array:
        differences = x[: n - shift] - x[shift:]
        return jnp.sqrt(sum_of([jnp.square(differences[:, :, k]) for k in range(action_size)]))

    return {shift: norms(shift) for shift in range(1, n)}
