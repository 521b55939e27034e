"""Statistics over seeds: mean and interquartile mean, with bootstrap intervals."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy  # imports its parts when they are used
from numpy.typing import ArrayLike

CONFIDENCE, RESAMPLES = 0.95, 2_000
TRIMMED = 0.25  # of the values at either end


class Estimate(NamedTuple):
    """A statistic of some seeds. interval: (low, high), None where the seeds do not differ."""

    value: float
    interval: tuple[float, float] | None


def mean(values: ArrayLike, axis: int = 0) -> np.ndarray:
    """Compute the mean over the seeds. values: [seeds, ...]."""
    return np.asarray(values, float).mean(axis)


def iqm(values: ArrayLike, axis: int = 0) -> np.ndarray:
    """Compute the interquartile mean over the seeds, without the lowest and the highest quarter.

    values: [seeds, ...]; the quarters are rounded down, so that it is the mean of up to three.
    Source: Agarwal et al., arXiv 2108.13264.
    """
    return scipy.stats.trim_mean(values, TRIMMED, axis=axis)


def interval(values: ArrayLike, statistic: Callable) -> tuple[np.ndarray, np.ndarray] | None:
    """Bootstrap the interval of a statistic over the seeds, by percentiles: the same every time.

    values: [seeds, ...]. -> (low, high), [...] each, or None for a single seed.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return None
    found = scipy.stats.bootstrap(
        (values,),
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return found.confidence_interval.low, found.confidence_interval.high


def estimate(values: ArrayLike, statistic: Callable) -> Estimate:
    """Compute a statistic of one number per seed, with its interval. values: [seeds]."""
    values = np.asarray(values, float)
    found = interval(values, statistic) if (values != values[0]).any() else None
    if found is None:
        return Estimate(float(values[0]), None)
    low, high = found
    return Estimate(float(statistic(values)), (float(low), float(high)))
