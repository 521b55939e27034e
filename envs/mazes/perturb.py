"""Perturbed mazes: goals taken away, obstacles put up, random free cells turned into walls.

They change a layout (see mazes.py), so whatever is made of layouts can be perturbed.
"""

from collections.abc import Sequence

import numpy as np
import scipy  # imports its parts when they are used

from envs.mazes import maze_map

Layout = str | Sequence[str]


def remove_goals(layout: Layout, goals: Sequence[int]) -> tuple[str, ...]:
    """Take goals away: they neither pay nor end an episode, and the others keep their numbers.

    goals: numbers from 1. -> rows. Raises ValueError for a number that no goal has, and unless a
    goal is left.
    """
    cells = np.array([list(row) for row in maze_map.read(layout)])
    spots = np.argwhere((cells == "G") | (cells == "g"))
    for number in goals:
        if not 1 <= number <= len(spots):
            raise ValueError(f"goals: {number} is no goal; use numbers in 1..{len(spots)}")
        cells[tuple(spots[number - 1])] = "g"
    return maze_map.read(_rows(cells))


def random_walls(layout: Layout, k: int, seed: int, obstacles: bool = False) -> tuple[str, ...]:
    """Turn k random free cells (`.` or `o`) into walls; every goal stays reachable. -> rows.

    obstacles: the `o` cells are walls already, so they are not free.

    Cells are drawn one after the other, uniformly from those that cut no goal off, so the walls
    of k are among those of k + 1 with the same seed. Reachable: by steps to the four neighbours,
    from the start. Raises ValueError for more walls than fit.
    """
    if k < 0:
        raise ValueError(f"k={k} must be at least 0")
    cells = np.array([list(row) for row in maze_map.read(layout)])
    free_symbols = "." if obstacles else ".o"
    _check_reachable(cells, free_symbols)
    added = 0
    free = np.argwhere(np.isin(cells, list(free_symbols)))
    # A cell that cuts a goal off now does so when there are more walls, too: try each once.
    for row, column in np.random.default_rng(seed).permutation(free):
        if added == k:
            break
        before, cells[row, column] = cells[row, column], "#"
        if _cut_off(cells, free_symbols):
            cells[row, column] = before
        else:
            added += 1
    if added < k:
        raise ValueError(
            f"k={k} walls leave no way to some goal (seed={seed}); use at most {added}"
        )
    return _rows(cells)


def with_random_walls(
    layout: Layout, most: int, maps: int, obstacles: bool = False
) -> tuple[list[int], list[tuple[str, ...]]]:
    """Perturb a layout by 0, 1, ... `most` random walls, `maps` times each.

    The test of arXiv 2511.01374: up to 10 walls, 30 maps each. -> the number of walls of each of
    the (most + 1) * maps layouts, and the layouts; map i is drawn with seed i % maps. obstacles:
    as for `random_walls`.
    """
    plan = [(k, seed) for k in range(most + 1) for seed in range(maps)]
    return [k for k, _ in plan], [random_walls(layout, k, seed, obstacles) for k, seed in plan]


def _check_reachable(cells: np.ndarray, free: str) -> None:
    """Raise ValueError where the unperturbed map has a goal that cannot be reached."""
    if count := _cut_off(cells, free):
        raise ValueError(f"layout: {count} goal(s) cannot be reached from 'S'; open a way")


def _cut_off(cells: np.ndarray, free: str) -> int:
    """Count the goals that no way leads to from the start. free: the symbols of free cells."""
    regions, _ = scipy.ndimage.label(np.isin(cells, list("SGg" + free)))  # cells that share a side
    (start,) = regions[cells == "S"]
    return int((regions[cells == "G"] != start).sum())


def _rows(cells: np.ndarray) -> tuple[str, ...]:
    return tuple("".join(row) for row in cells)
