"""What the paper measures of evaluation episodes: modes, multi-goal score, robustness.

`goals` holds the goal that each episode reached: 0 none, 1..G. Source: arXiv 2511.01374.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

GROUP_SIZE = 5  # episodes a robustness test may use: the 5 of SR5


def arrivals(goals: ArrayLike, num_goals: int) -> np.ndarray:
    """Count the arrivals at each goal. goals: [N] -> [G]."""
    return np.bincount(np.asarray(goals), minlength=num_goals + 1)[1:]


def reachable_modes(goals: ArrayLike, num_goals: int) -> int:
    """Count the goals that at least one episode reached. goals: [N]."""
    return int((arrivals(goals, num_goals) > 0).sum())


def multi_goal_score(goals: ArrayLike, num_goals: int) -> float:
    """Compute sum_i min(share of episodes at goal i, 1/G): 1 is even and complete. goals: [N]."""
    shares = arrivals(goals, num_goals) / np.size(goals)
    return float(np.minimum(shares, 1.0 / num_goals).sum())


def removal_sr5(goals: ArrayLike, num_goals: int, removed: int | None = None) -> float:
    """Compute the chance that a reached goal survives a random removal, exactly.

    goals: [groups, 5]; removed: goals taken away, G // 2 unless given. A group that reached R
    goals survives with 1 - C(G - R, n - R) / C(G, n), or surely for R > n. Mean over groups.
    """
    n = num_goals // 2 if removed is None else removed
    reached = _distinct(goals)
    # math.comb(., k) counts the removals that take every reached goal: k = n - R more to choose.
    lost = [math.comb(num_goals - r, n - r) if r <= n else 0 for r in reached]
    return float(1.0 - np.mean(lost) / math.comb(num_goals, n))


def removal_sr5_reference(goals: ArrayLike, num_goals: int, removed: int | None = None) -> float:
    """Compute the reference implementation's removal SR5, which counts R >= G - n as certain and
    uses C(G - R, n) below: a little high at R = n. goals: [groups, 5]."""
    n = num_goals // 2 if removed is None else removed
    reached = _distinct(goals)
    lost = [math.comb(num_goals - r, n) if r < num_goals - n else 0 for r in reached]
    return float(1.0 - np.mean(lost) / math.comb(num_goals, n))


def obstacle_sr5(goals: ArrayLike) -> float:
    """Compute the share of groups with at least one arrival. goals: [groups, 5]."""
    return float((np.asarray(goals) > 0).any(axis=1).mean())


def _distinct(goals: ArrayLike) -> list[int]:
    return [len(set(group[group > 0])) for group in np.asarray(goals)]


def episode_summary(
    returns: ArrayLike, lengths: ArrayLike, goals: ArrayLike, num_goals: int
) -> dict[str, float]:
    """Summarise N episodes of one seed. returns, lengths, goals: [N]. Goal metrics only where
    the task has goals."""
    returns, lengths = np.asarray(returns), np.asarray(lengths)
    summary = {
        "eval/return": float(np.mean(returns)),
        "eval/return_std": float(np.std(returns)),
        "eval/episode_length": float(np.mean(lengths)),
        "eval/episode_length_std": float(np.std(lengths)),
    }
    if num_goals:
        summary |= {
            "eval/reachable_modes": reachable_modes(goals, num_goals),
            "eval/multi_goal_score": multi_goal_score(goals, num_goals),
            "eval/arrival_rate": float((np.asarray(goals) > 0).mean()),
        }
    return summary
