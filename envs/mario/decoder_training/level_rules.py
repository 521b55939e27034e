"""Levels in the manner of classic platform games, drawn by rules: ground with gaps, pipes, stairs
and cannons, tree tops over an abyss, caves; rows of blocks, coins and enemies over all of them.

The rates and the weights below are set so that the levels have the tile statistics of 15 levels
made by people, published as aggregates with the reference data of the online level generation that
DrAC (arXiv 2511.01374) is tested on. No level was copied or seen.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from envs.mario.tiles import ALPHABET, EMPTY, FLOOR_ROWS, GROUND, PLATFORM, SEGMENT

BREAKABLE, PIPE, FLOWER_PIPE, BODY, CANNON, COIN, QUESTION, MUSHROOM = (
    ALPHABET.index(tile) for tile in "StTbBoQ@"
)
FLOOR = SEGMENT - FLOOR_ROWS  # the topmost row of the ground
CEILING = 3  # the row of a cave's roof
FLYING = 2  # rows between what flies and what is below it
MARGIN = 8  # columns at both ends of a level that are plain ground
FLOWERS = 0.86  # share of the pipes that have one


Weights = dict[int, float]  # value -> how often


class Style(NamedTuple):
    """One kind of level: its share of the levels, widths of floors and gaps, and how many of each
    thing are tried in 16 columns (what finds no room is left out)."""

    share: float
    floors: Weights
    gaps: Weights
    tree_tops: float  # share of the floors
    roof: float  # share of the columns
    pipes: float
    stairs: float
    pillars: float
    cannons: float
    platforms: float
    blocks: float
    coins: float
    enemies: float


FLOOR_WIDTHS: Weights = {2: 7, 3: 5, 4: 6, 6: 5, 9: 10, 12: 10, 16: 6, 25: 12, 36: 16, 60: 24}
GAP_WIDTHS: Weights = {1: 16, 2: 30, 3: 18, 4: 6, 5: 3}
TREE_FLOOR_WIDTHS: Weights = {2: 2, 3: 5, 4: 8, 5: 6, 6: 4, 10: 4}
TREE_GAP_WIDTHS: Weights = {3: 2, 4: 4, 5: 7, 6: 10, 8: 2, 10: 2, 13: 2, 16: 2, 20: 2}
STYLES = {
    "ground": Style(
        0.61, FLOOR_WIDTHS, GAP_WIDTHS, 0.0, 0.0, 0.82, 0.9, 0.4, 0.2, 0.0, 2.2, 0.22, 1.8
    ),
    "cave": Style(
        0.15, FLOOR_WIDTHS, GAP_WIDTHS, 0.0, 0.8, 0.82, 0.75, 0.6, 0.17, 0.0, 2.5, 0.25, 1.8
    ),
    "trees": Style(
        0.24, TREE_FLOOR_WIDTHS, TREE_GAP_WIDTHS, 0.4, 0.0, 0, 0, 0, 0, 1.35, 0.3, 0.75, 1.1
    ),
}
PIPE_HEIGHTS: Weights = {2: 26, 3: 28, 4: 25, 5: 3, 6: 1, 7: 2}
STAIR_HEIGHTS: Weights = {2: 2, 3: 3, 4: 9, 5: 2, 8: 4}
PILLAR_HEIGHTS: Weights = {1: 4, 2: 3, 3: 2, 4: 3}
CANNON_HEIGHTS: Weights = {1: 2, 2: 5, 3: 2, 4: 1}
PLATFORM_WIDTHS: Weights = {3: 15, 4: 27, 5: 13, 6: 8, 7: 3, 8: 4}
PLATFORM_ROWS: Weights = {4: 2, 5: 3, 6: 7, 7: 2, 8: 8, 9: 3, 10: 15, 11: 3, 12: 6, 13: 5}
BLOCK_WIDTHS: Weights = {1: 71, 2: 54, 3: 48, 4: 31, 5: 12, 6: 9, 8: 9, 11: 7}
BLOCK_ROWS: Weights = {4: 10, 5: 9, 6: 58, 7: 10, 8: 13, 9: 24, 10: 64, 11: 6, 12: 6, 13: 5}
COIN_WIDTHS: Weights = {1: 3, 2: 3, 3: 5, 4: 3, 5: 1}
COIN_ROWS: Weights = {3: 4, 5: 12, 6: 11, 7: 8, 8: 2, 9: 14, 10: 5, 13: 4}
BLOCK_TILES: Weights = dict(
    zip(map(ALPHABET.index, "SQ@UL12"), (76, 17, 4.0, 5.4, 0.9, 1.6, 2.7), strict=True)
)
WALKERS: Weights = dict(zip(map(ALPHABET.index, "gkry"), (64, 33, 6.6, 14.8), strict=True))
FLYERS: Weights = dict(zip(map(ALPHABET.index, "KR"), (14.8, 2.7), strict=True))
FLYING_SHARE = 0.13  # of the enemies


def generate_level(rng: np.random.Generator, width: int, style: str | None = None) -> np.ndarray:
    """Draw one level. style: one of STYLES, drawn by their shares if None. -> [16, width] uint8
    tile ids. Raises ValueError for an unknown style or a width below 32."""
    if style is not None and style not in STYLES:
        raise ValueError(f"style={style!r} is unknown; use one of {', '.join(STYLES)}")
    if width < 4 * MARGIN:
        raise ValueError(
            f"width={width} leaves no room between a level's ends; use >= {4 * MARGIN}"
        )
    chosen = STYLES[style] if style else _draw_style(rng)
    level = np.full((SEGMENT, width), EMPTY, np.uint8)
    _lay_floor(rng, level, chosen)
    _lay_roof(rng, level, chosen)
    _put_structures(rng, level, chosen)
    _put_platforms(rng, level, chosen)
    _put_blocks(rng, level, chosen)
    _put_coins(rng, level, chosen)
    _put_enemies(rng, level, chosen)
    return level


def _draw_style(rng: np.random.Generator) -> Style:
    styles = list(STYLES.values())
    return styles[rng.choice(len(styles), p=np.array([style.share for style in styles]))]


def _draw(rng: np.random.Generator, weights: Weights) -> int:
    values, weight = np.array(list(weights)), np.array(list(weights.values()))
    return int(rng.choice(values, p=weight / weight.sum()))


def _places(rng: np.random.Generator, width: int, rate: float) -> np.ndarray:
    """Draw the columns where things start, `rate` of them in 16 columns, in any order."""
    room = width - 2 * MARGIN
    count = rng.poisson(rate * width / SEGMENT)
    return MARGIN + rng.permutation(room)[:count]


def _lay_floor(rng: np.random.Generator, level: np.ndarray, style: Style) -> None:
    """Lay stretches of ground, some of tree tops, with gaps between them."""
    level[FLOOR:, :MARGIN] = level[FLOOR:, -MARGIN:] = GROUND
    end = level.shape[1] - MARGIN
    column = MARGIN
    while column < end:
        stretch = slice(column, min(column + _draw(rng, style.floors), end))
        if rng.random() < style.tree_tops and stretch.stop - stretch.start >= 3:
            level[FLOOR, stretch] = PLATFORM
        else:
            level[FLOOR:, stretch] = GROUND
        column = stretch.stop + _draw(rng, style.gaps)


def _lay_roof(rng: np.random.Generator, level: np.ndarray, style: Style) -> None:
    """Cover most columns of a cave with blocks."""
    column, width = 0, level.shape[1]
    while column < width and style.roof > 0.0:
        length = int(rng.integers(16, 64))
        if rng.random() < style.roof:
            level[CEILING, column : column + length] = BREAKABLE
        column += length


def _pipe(rng: np.random.Generator) -> np.ndarray:
    tile = FLOWER_PIPE if rng.random() < FLOWERS else PIPE
    return np.full((_draw(rng, PIPE_HEIGHTS), 2), tile)


def _stairs(rng: np.random.Generator) -> np.ndarray:
    """Draw stairs up, down, or up and down: [rows, columns]."""
    height = _draw(rng, STAIR_HEIGHTS)
    up = np.where(np.arange(height)[::-1, None] <= np.arange(height), GROUND, EMPTY)
    shapes = [up, up[:, ::-1]]
    if height <= 4:
        shapes.append(np.concatenate([up, up[:, ::-1]], axis=1))
    return shapes[rng.integers(len(shapes))]


def _pillar(rng: np.random.Generator) -> np.ndarray:
    return np.full((_draw(rng, PILLAR_HEIGHTS), rng.integers(1, 3)), GROUND)


def _cannon(rng: np.random.Generator) -> np.ndarray:
    height = _draw(rng, CANNON_HEIGHTS)
    return np.array([CANNON] + [BODY] * (height - 1))[:, None]


def _put_structures(rng: np.random.Generator, level: np.ndarray, style: Style) -> None:
    """Stand pipes, stairs, pillars and cannons on free ground, a column apart from each other."""
    kinds: Sequence[tuple[float, Callable]] = (
        (style.pipes, _pipe),
        (style.stairs, _stairs),
        (style.pillars, _pillar),
        (style.cannons, _cannon),
    )
    for rate, make in kinds:
        for start in _places(rng, level.shape[1], rate):
            shape = make(rng)
            height, width = shape.shape
            ground = level[FLOOR, start : start + width]
            around = level[CEILING + 1 : FLOOR, start - 1 : start + width + 1]
            if (ground == GROUND).all() and (around == EMPTY).all():
                level[FLOOR - height : FLOOR, start : start + width] = shape


def _put_platforms(rng: np.random.Generator, level: np.ndarray, style: Style) -> None:
    """Hang platforms that touch no other one."""
    for start in _places(rng, level.shape[1], style.platforms):
        row, width = _draw(rng, PLATFORM_ROWS), _draw(rng, PLATFORM_WIDTHS)
        around = level[row - 1 : row + 2, start - 1 : start + width + 1]
        if (around == EMPTY).all():
            level[row, start : start + width] = PLATFORM


def _put_blocks(rng: np.random.Generator, level: np.ndarray, style: Style) -> None:
    """Hang rows of blocks where there is air above and two rows of it below."""
    for start in _places(rng, level.shape[1], style.blocks):
        row, width = _draw(rng, BLOCK_ROWS), _draw(rng, BLOCK_WIDTHS)
        around = level[max(row - 1, 0) : min(row + 3, FLOOR), start : start + width]
        if (around == EMPTY).all():
            here = level[row, start : start + width]
            here[:] = _blocks(rng, len(here))


def _blocks(rng: np.random.Generator, width: int) -> list[int]:
    """Draw a row of blocks: every second one of the short rows is of one kind."""
    if rng.random() < 0.55 and width > 2:
        return [BREAKABLE] * width
    return [_draw(rng, BLOCK_TILES) for _ in range(width)]


def _put_coins(rng: np.random.Generator, level: np.ndarray, style: Style) -> None:
    """Hang rows of coins in the air."""
    for start in _places(rng, level.shape[1], style.coins):
        row, width = _draw(rng, COIN_ROWS), _draw(rng, COIN_WIDTHS)
        here = level[row, start : start + width]
        level[row, start : start + width] = np.where(here == EMPTY, COIN, here)


def _put_enemies(rng: np.random.Generator, level: np.ndarray, style: Style) -> None:
    """Put enemies on what can be stood on, or let them fly some rows above it."""
    for column in _places(rng, level.shape[1], style.enemies):
        filled = np.flatnonzero(level[CEILING + 1 :, column] != EMPTY) + CEILING + 1
        if len(filled) == 0:
            continue
        # The lowest surface with air above it, most of the time: the ground.
        tops = [row for row in filled if level[row - 1, column] == EMPTY]
        surface = tops[-1] if tops and rng.random() < 0.85 else filled[0]
        flies = rng.random() < FLYING_SHARE
        row = surface - 1 - (FLYING if flies else 0)
        if row > CEILING and level[row, column] == EMPTY:
            level[row, column] = _draw(rng, FLYERS if flies else WALKERS)
