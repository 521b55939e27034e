"""When a learning curve reaches a return: one rule for all that train against a target."""

from collections.abc import Mapping, Sequence
from typing import Any

Point = Mapping[str, Any]  # of a curve: `return`, and what was spent until then


def means(curve: Sequence[Point], window: int = 1) -> list[float]:
    """Average the returns of the last `window` points at each point that has so many."""
    returns = [point["return"] for point in curve]
    ends = range(window, len(returns) + 1)
    return [sum(returns[end - window : end]) / window for end in ends]


def first_at(curve: Sequence[Point], target: float, window: int = 1) -> Point | None:
    """Find the first point at which the mean return of the last `window` points is the target or
    more; None where there is none."""
    ends = curve[window - 1 :]
    reached = (p for p, m in zip(ends, means(curve, window), strict=True) if m >= target)
    return next(reached, None)


def best(curve: Sequence[Point], window: int = 1) -> float:
    """Return the highest mean of `window` points in a row; NaN for a curve that is shorter."""
    return max(means(curve, window), default=float("nan"))
