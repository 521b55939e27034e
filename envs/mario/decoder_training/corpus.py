"""The training corpus: windows of levels drawn by rules, or of a folder of text levels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.mario.decoder_training.level_rules import generate_level
from envs.mario.tiles import ALPHABET, FLOOR_ROWS, MAX_GAP, SEGMENT, SOLID

LEVEL_WIDTH = 200  # columns; the levels made by people have 195 in the mean
_IDS = {character: i for i, character in enumerate(ALPHABET)}


def generate_levels(seed: int, levels: int, width: int = LEVEL_WIDTH) -> list[np.ndarray]:
    """Draw levels by the rules of `generator`, the same for the same seed. -> [16, width] each."""
    rngs = np.random.default_rng(seed).spawn(levels)
    return [generate_level(rng, width) for rng in rngs]


def read_levels(folder: str | Path) -> list[np.ndarray]:
    """Read every `*.txt` of a folder, in the order of their names. -> [16, width] uint8 ids each.

    Raises ValueError naming the file, the line and the column of a character that is no tile, of
    a line of another length, of a level of another height than 16 or narrower than 16 columns, and
    naming the folder if it has no level.
    """
    paths = sorted(Path(folder).glob("*.txt"))
    if not paths:
        raise ValueError(f"corpus {folder} has no level; put text files *.txt of 16 lines there")
    return [parse_level(path.read_text("utf-8", "replace"), path) for path in paths]


def parse_level(text: str, name: str | Path) -> np.ndarray:
    """Read one level of 16 lines of tile characters. -> [16, width] uint8 ids. Raises as above."""
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    if len(lines) != SEGMENT:
        last = min(max(len(lines), 1), SEGMENT + 1)  # the last one, or the first one too many
        raise ValueError(
            f"{name}, line {last}, column 1: the level has {len(lines)} lines; make it {SEGMENT}"
        )
    width = len(lines[0])
    for row, line in enumerate(lines, start=1):
        for column, character in enumerate(line, start=1):
            if character not in _IDS:
                raise ValueError(
                    f"{name}, line {row}, column {column}: {character!r} is no tile; "
                    f"use one of {ALPHABET}"
                )
        if len(line) != width or width < SEGMENT:
            wanted = f"{width}, as line 1 has" if width >= SEGMENT else f"at least {SEGMENT}"
            raise ValueError(
                f"{name}, line {row}, column {len(line) + 1}: the line has {len(line)} columns; "
                f"make it {wanted}"
            )
    return np.array([[_IDS[character] for character in line] for line in lines], np.uint8)


def windows(levels: Sequence[np.ndarray], stride: int = 1) -> np.ndarray:
    """Cut all windows of 16 columns. -> [N, 16, 16] uint8, level by level, left to right."""
    cut = [
        np.lib.stride_tricks.sliding_window_view(level, SEGMENT, axis=1)[:, ::stride]
        for level in levels
    ]
    return np.concatenate([np.moveaxis(view, 1, 0) for view in cut])


def gap_widths(level: np.ndarray) -> list[int]:
    """Measure the gaps: runs of columns without a solid tile in the floor rows, left to right."""
    solid = np.array([character in SOLID for character in ALPHABET])
    is_gap = ~solid[level[-FLOOR_ROWS:]].any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_gap, [False]]).astype(int)))
    return [int(width) for width in edges[1::2] - edges[::2]]


def statistics(levels: Sequence[np.ndarray]) -> dict[str, float]:
    """Count, in 16 columns each: ground, gaps and their columns, pipes and their tiles, enemies,
    coins, and each tile by its character. levels: [16, W] or segments [16, 16], of any width.
    `playable` is the share of them that pass the gap rule."""
    columns = sum(level.shape[1] for level in levels)
    counts = np.bincount(np.concatenate(list(map(np.ravel, levels))), minlength=len(ALPHABET))
    of = dict(zip(ALPHABET, counts, strict=True))
    gaps = [gap_widths(level) for level in levels]
    totals = {
        "ground": sum(int((level[-FLOOR_ROWS:] == _IDS["X"]).sum()) for level in levels),
        "gaps": sum(map(len, gaps)),
        "gap_columns": sum(map(sum, gaps)),
        "pipes": sum(map(_count_pipes, levels)),
        "pipe_tiles": of["t"] + of["T"],
        "enemies": sum(of[character] for character in "gkrKRy"),
        "coins": of["o"],
        **of,
    }
    per_16 = {name: float(total) * SEGMENT / columns for name, total in totals.items()}
    playable = np.mean([max(widths, default=0) <= MAX_GAP for widths in gaps])
    return {**per_16, "playable": float(playable)}


def _count_pipes(level: np.ndarray) -> int:
    """Count groups of two columns whose topmost pipe tiles are in one row."""
    is_pipe = np.isin(level, (_IDS["t"], _IDS["T"]))
    top = np.where(is_pipe.any(axis=0), is_pipe.argmax(axis=0), -1)
    count, column = 0, 0
    while column < len(top) - 1:
        pair = top[column] >= 0 and top[column] == top[column + 1]
        count, column = count + pair, column + (2 if pair else 1)
    return count
