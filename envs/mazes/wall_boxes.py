"""Walls of a grid of cells merged into few long boxes."""

import numpy as np


def merged(solid: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Cover the solid cells [rows, columns] by disjoint boxes, greedily: the longest run, then
    widened. -> boxes as rows and columns [from, to): (top, left, bottom, right)."""
    left = solid.copy()
    boxes = []
    while left.any():
        top, first, bottom, end = max((_grow(left, *s) for s in np.argwhere(left)), key=_area)
        left[top:bottom, first:end] = False
        boxes.append((top, first, bottom, end))
    return boxes


def _grow(free: np.ndarray, row: int, column: int) -> tuple[int, int, int, int]:
    """Grow the larger of the two boxes from a top left cell: right then down, down then right."""
    right = column
    while right < free.shape[1] and free[row, right]:
        right += 1
    down = row
    while down < free.shape[0] and free[down, column]:
        down += 1
    wide_to, tall_to = row, column
    while wide_to < free.shape[0] and free[wide_to, column:right].all():
        wide_to += 1
    while tall_to < free.shape[1] and free[row:down, tall_to].all():
        tall_to += 1
    return max((row, column, wide_to, right), (row, column, down, tall_to), key=_area)


def _area(box: tuple[int, int, int, int]) -> int:
    top, left, bottom, right = box
    return (bottom - top) * (right - left)
