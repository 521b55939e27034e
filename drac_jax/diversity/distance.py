"""Diversity of a policy at a state: the log of the geometric mean distance of two actions.

D(s) = E_{x, y ~ pi(.|s)} log(||x - y|| + 1e-5), estimated from K action samples by one batched
kernel; it needs samples only, never a density (arXiv 2511.01374). Its ablation is the arithmetic
mean, D(s) = E ||x - y||.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.diversity.pairwise import GEOMETRIC, Mean, distance, mean_of_pairs

# The largest attainable D on [-1, 1]^A and the D of a uniform policy, as values of beta.
# Between the sizes, and beyond them, both are smooth in 1/A; at 1/A = 0 distances concentrate
# at sqrt(2 A) (corners) and sqrt(2 A / 3) (uniform).
_INVERSE_SIZES = [0.0, 1 / 20, 1 / 17, 1 / 8, 1 / 6, 1 / 3, 1 / 2, 1.0]
_BETA_MAX = [math.sqrt(2), 1.40, 1.39, 1.34, 1.27, 1.03, 0.834, 0.500]
_BETA_UNIFORM = [math.sqrt(2 / 3), 0.801, 0.799, 0.777, 0.762, 0.698, 0.632, 0.445]


class Diversity(NamedTuple):
    """An estimator of D(s).

    num_samples: K, action samples a state needs, those for Q included; q_samples: the first of
    them, at which the critics are evaluated; estimate: actions [K, B, A] -> D [B]; mean: what D
    is the mean of.
    """

    num_samples: int
    q_samples: int
    estimate: Callable[[jax.Array], jax.Array]
    mean: Mean = GEOMETRIC


def paired(pairs: int = 8, mean: Mean = GEOMETRIC) -> Diversity:
    """Make the reference's estimator: `pairs` independent pairs, and one more sample for Q."""
    if pairs < 1:
        raise ValueError(f"pairs={pairs} must be at least 1; the paper uses 8")

    def estimate(actions: jax.Array) -> jax.Array:
        x, y = actions[1 : 1 + pairs], actions[1 + pairs :]
        return mean.transform(distance(x - y)).mean(axis=0)

    return Diversity(2 * pairs + 1, 1, estimate, mean)


def all_pairs(num_samples: int = 6, q_samples: int = 1, mean: Mean = GEOMETRIC) -> Diversity:
    """Make the U-statistic over all n(n-1)/2 pairs of n samples: the same expectation as
    `paired` from far fewer actor evaluations. Q uses the first `q_samples` of the same n.
    """
    if num_samples < 2:
        raise ValueError(f"num_samples={num_samples} must be at least 2 to make a pair; use 6")
    if not 1 <= q_samples <= num_samples:
        raise ValueError(f"q_samples={q_samples} must be in 1..num_samples={num_samples}; use 1")
    return Diversity(num_samples, q_samples, partial(mean_of_pairs, mean), mean)


def target_diversity(
    beta: jax.Array | float, action_size: int, mean: Mean = GEOMETRIC
) -> jax.Array:
    """Compute the target of D: log(beta sqrt(A)) for the geometric mean."""
    return mean.transform(jnp.asarray(beta * math.sqrt(action_size)))


def as_beta(diversity: jax.Array, action_size: int, mean: Mean = GEOMETRIC) -> jax.Array:
    """Express a D on beta's scale: exp(D) / sqrt(A) for the geometric mean."""
    return mean.inverse(diversity) / math.sqrt(action_size)


def beta_limits(action_size: int) -> tuple[float, float]:
    """Look up (beta of a uniform policy, largest attainable beta) of an action size."""
    at = 1.0 / action_size
    uniform = float(np.interp(at, _INVERSE_SIZES, _BETA_UNIFORM))
    return uniform, float(np.interp(at, _INVERSE_SIZES, _BETA_MAX))


def arithmetic_beta_limits(action_size: int) -> tuple[float, float]:
    """Do as `beta_limits` for the arithmetic mean. The mean distance is largest where each corner
    of the box is equally likely, since distances are convex; two corners differ in Bin(A, 1/2)
    coordinates. A uniform policy's is bounded by its mean square, 2 A / 3."""
    moments = [math.comb(action_size, k) * math.sqrt(k) for k in range(action_size + 1)]
    largest = 2.0 * sum(moments) / 2**action_size / math.sqrt(action_size)
    return math.sqrt(2.0 / 3.0), largest


def check_beta(beta: float, action_size: int, mean: Mean = GEOMETRIC) -> str | None:
    """Raise ValueError for an unattainable beta; return a warning for a questionable one."""
    limits = beta_limits if mean is GEOMETRIC else arithmetic_beta_limits
    uniform, largest = limits(action_size)
    if not 0.0 < beta <= largest:
        raise ValueError(
            f"beta={beta:g} must be in (0, {largest:.3g}] with {action_size} action dimensions, or "
            f"alpha grows without end; a uniform policy has {uniform:.3g}, use less"
        )
    if beta > uniform:
        return (
            f"beta={beta:g} is above a uniform policy's {uniform:.3g}: the actor must prefer the "
            f"boundary of the action box"
        )
    return None
