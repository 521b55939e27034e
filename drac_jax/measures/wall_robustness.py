"""The random obstacle test: a trained policy on maps with walls that it has never seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from drac_jax.measures import goal_reaching

MEASURES = (
    "eval/return",
    "eval/reachable_modes",
    "eval/multi_goal_score",
    "eval/arrival_rate",
)


@dataclass(frozen=True)
class RobustnessConfig:
    """How the random obstacle test plays. Source: arXiv 2511.01374, 1 to 10 walls, 30 maps each."""

    episodes: int = 5  # on each map
    maps: int = 30  # for each number of walls
    walls: int = 10  # the most walls that are added to a map


def summarise(
    labels: list[dict[str, Any]],
    returns: ArrayLike,
    lengths: ArrayLike,
    goals: ArrayLike,
    walls: Sequence[int],
    num_goals: int,
) -> list[dict[str, Any]]:
    """Summarise each member's episodes by the number of walls: means over its maps.

    returns, lengths, goals: [members, N], episode i on map i % M; walls: [M]. -> one record per
    member and number of walls. Modes and score are a map's own, so `ceiling` bounds them.
    """
    shape = (len(labels), -1, len(walls))  # [members, episodes, maps]
    returns, lengths, goals = (np.reshape(x, shape) for x in (returns, lengths, goals))
    records = []
    for i, label in enumerate(labels):
        per_map = [
            goal_reaching.episode_summary(
                returns[i, :, m], lengths[i, :, m], goals[i, :, m], num_goals
            )
            for m in range(len(walls))
        ]
        for k in sorted(set(walls)):
            of_k = [result for result, number in zip(per_map, walls, strict=True) if number == k]
            means = {name: float(np.mean([r[name] for r in of_k])) for name in MEASURES}
            records.append({"member": i, **label, "walls": int(k), **means})
    return records


def ceiling(episodes: int, num_goals: int) -> dict[str, float]:
    """Compute the most that so few episodes of one map can show: they spread evenly."""
    goals = np.arange(episodes) % num_goals + 1
    best = goal_reaching.episode_summary(np.zeros(episodes), np.zeros(episodes), goals, num_goals)
    return {name: best[name] for name in ("eval/reachable_modes", "eval/multi_goal_score")}
