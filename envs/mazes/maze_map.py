"""The multi-goal maps: text layouts, their geometry, and walls merged into few long boxes.

Legend: `#` wall, `.` free, `S` start, `G` goal, `g` a goal taken away (free, and keeps its number),
`o` free in training and a wall in the obstacle test, blank outside. Goals are numbered row by row,
left to right, from 1. The world's origin is the centre of the map, x to the right and y up.

The mazes have two dynamics. `authors` is what the paper's numbers were made with: touching an `o`
wall ends the episode, and contacts are those of MuJoCo 3.1.6. `farama` is that of
gymnasium-robotics: `o` walls are plain walls, and contacts are those of MuJoCo 3.17. What else
differs for a point is in `point_maze`.
Source: the mazes of DrAC (arXiv 2511.01374).
"""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.types import Scene
from envs.mazes.wall_boxes import merged

SIMPLE = """
###########
#G.......G#
#.........#
#..o...o..#
#.........#
#....S....#
#.........#
#..o...o..#
#.........#
#G.......G#
###########
"""
MEDIUM = """
#############
#G..#...#..G#
#...#...#...#
#...o...o...#
#...........#
#..###S###..#
#...........#
#...o...o...#
#...#...#...#
#G..#...#..G#
#############
"""
HARD = """
   #### ####
   #.G###G.#
  ##..#.#..##
###..o#.#o..###
#.............#
#G.o.......o.G#
####..#.#..####
 #.....S.....#
####..#.#..####
#G.o.......o.G#
#.............#
###..o#.#o..###
  ##..#.#..##
   #.G###G.#
   #### ####
"""
LAYOUTS = {"simple": SIMPLE, "medium": MEDIUM, "hard": HARD}
MAX_STEPS = {"simple": 150, "medium": 300, "hard": 600}
OWN_MAX_STEPS = 500  # of any other map
SYMBOLS = "#.SGgo "
# Where nothing ever is, in cells: the place of goals taken away and of walls that only fill up.
OUTSIDE = 1e3
ARRIVAL_REWARD = 100.0
PROGRESS_SCALE = 10.0  # of the dense reward

Dynamics = Literal["authors", "farama"]


class Maze(NamedTuple):
    """A map in world units.

    cells: the rows of text, padded to a rectangle; walls: [W, 4], boxes as (x_min, y_min, x_max,
    y_max); fatal: [W] bool, whether touching that wall ends the episode; goals: [G, 2], far
    outside where taken away; start: [2]; half: half the side of a cell.
    """

    cells: tuple[str, ...]
    walls: np.ndarray
    fatal: np.ndarray
    goals: np.ndarray
    start: np.ndarray
    half: float

    def scene(self) -> Scene:
        """Make the plan view that trajectories are drawn on."""
        width, height = len(self.cells[0]) * self.half, len(self.cells) * self.half
        start = (float(self.start[0]), float(self.start[1]))
        bounds = (-width, width, -height, height)
        return Scene(bounds, self.walls, self.goals, self.half, "square", start)


class Arena(NamedTuple):
    """What a step needs of a maze, or of M mazes (leading axis M). walls: [W, 4]; fatal: [W];
    goals: [G, 2]."""

    walls: jax.Array
    fatal: jax.Array
    goals: jax.Array


def choose(
    layout: str | Sequence[str], max_steps: int | None = None
) -> tuple[str, tuple[str, ...], int]:
    """Look up a map by name, or take one's own rows. -> (name, rows, time limit).

    The time limit is that of the map unless given: 150, 300, 600, and 500 for rows of one's own.
    Raises ValueError for an unknown name (with the nearest) and for a time limit below 1.
    """
    if max_steps is not None and max_steps < 1:
        raise ValueError(f"max_steps={max_steps} must be at least 1; use {OWN_MAX_STEPS}")
    if not isinstance(layout, str):
        return "custom", tuple(layout), max_steps or OWN_MAX_STEPS
    if layout not in LAYOUTS:
        near = get_close_matches(layout, LAYOUTS, n=1, cutoff=0.0)[0]
        names = ", ".join(LAYOUTS)
        raise ValueError(f"layout {layout!r} is unknown; nearest: {near} (there are {names})")
    return layout, _rows(LAYOUTS[layout]), max_steps or MAX_STEPS[layout]


def build(
    layout: str | Sequence[str],
    cell_size: float = 1.0,
    obstacles: bool = False,
    merge: bool = True,
    dynamics: Dynamics = "authors",
) -> Maze:
    """Read a layout, as text or as rows.

    obstacles: make the `o` cells walls, which end the episode in the dynamics `authors`; merge:
    join cells of one kind of wall into boxes. Raises ValueError for what is not a map (the sign
    and where it stands) and for unknown dynamics.
    """
    check_dynamics(dynamics)
    cells = read(layout)
    fatal = "o" if obstacles and dynamics == "authors" else ""
    plain = "#o" if obstacles and not fatal else "#"
    boxes = [*_boxes(cells, plain, merge), *_boxes(cells, fatal, merge)]
    is_fatal = np.array([cells[row][column] in fatal for row, column, *_ in boxes], bool)
    gone = np.full(2, OUTSIDE * cell_size)
    goals = [
        _centre(cells, (r, c), cell_size) if cells[r][c] == "G" else gone
        for r, c in _spots(cells, "Gg")
    ]
    start = _centre(cells, _spots(cells, "S")[0], cell_size)
    world = np.array([_box(cells, box, cell_size) for box in boxes]).reshape(-1, 4)
    return Maze(cells, world, is_fatal, np.array(goals), start, cell_size / 2)


def check_dynamics(dynamics: str) -> None:
    """Raise ValueError for dynamics that there are not."""
    if dynamics not in get_args(Dynamics):
        raise ValueError(f"dynamics={dynamics!r} is unknown; use 'authors' or 'farama'")


def read(layout: str | Sequence[str]) -> tuple[str, ...]:
    """Read a layout, as text or as rows. -> rows of one length. Raises ValueError for what is not
    a map: the sign and where it stands."""
    cells = _rows(layout) if isinstance(layout, str) else tuple(layout)
    _check(cells)
    return cells


def stack(mazes: Sequence[Maze]) -> Arena:
    """Stack M mazes, with as many walls as the richest of them. -> leaves [M, ...].

    Raises ValueError unless all have the same start, number of goals and cells.
    """
    for number, maze in enumerate(mazes):
        for name in ("start", "half"):
            if not np.array_equal(getattr(maze, name), getattr(mazes[0], name)):
                raise ValueError(f"maze {number} has another {name} than maze 0; use the same")
        if len(maze.goals) != len(mazes[0].goals):
            raise ValueError(
                f"maze {number} has {len(maze.goals)} goals and maze 0 has {len(mazes[0].goals)}; "
                "use the same number, with 'g' for goals taken away"
            )
    most = max(len(maze.walls) for maze in mazes)
    walls = np.full((len(mazes), most, 4), np.array([0, 0, 1, 1]) + OUTSIDE) * 2 * mazes[0].half
    fatal = np.zeros((len(mazes), most), bool)
    for number, maze in enumerate(mazes):
        walls[number, : len(maze.walls)] = maze.walls
        fatal[number, : len(maze.walls)] = maze.fatal
    goals = np.stack([maze.goals for maze in mazes])
    return Arena(jnp.float32(walls), jnp.asarray(fatal), jnp.float32(goals))


def arrival(goals: jax.Array, half: float, position: jax.Array) -> jax.Array:
    """Number the goal [G, 2] in whose cell, of side 2 half, a point [2] is: 1..G, 0 none."""
    entered = jnp.abs(position - goals).max(axis=-1) <= half
    return jnp.where(entered.any(), jnp.argmax(entered) + 1, 0)


def progress(goals: jax.Array, before: jax.Array, after: jax.Array) -> jax.Array:
    """Pay the decrease of the Euclidean distance to the nearest goal [G, 2]: the dense reward."""

    def distance(position: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.square(goals - position).sum(axis=-1)).min()

    return PROGRESS_SCALE * (distance(before) - distance(after))


def make_payment(
    reward: str, half: float
) -> Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """Make (goals [G, 2], place before [2], place after [2]) -> (goal entered, reward).

    Entering a goal's cell, of side 2 half, pays ARRIVAL_REWARD; until then `dense` pays the
    progress and `sparse` nothing. Raises ValueError for another reward.
    """
    if reward not in ("sparse", "dense"):
        raise ValueError(f"reward={reward!r} is unknown; use 'sparse' or 'dense'")

    def pay(goals: jax.Array, before: jax.Array, after: jax.Array) -> tuple[jax.Array, jax.Array]:
        goal = arrival(goals, half, after)
        gained = progress(goals, before, after) if reward == "dense" else 0.0
        return goal, jnp.where(goal > 0, ARRIVAL_REWARD, gained)

    return pay


def nearest_walls(walls: jax.Array, position: jax.Array, number: int) -> jax.Array:
    """Number the boxes [W, 4] that are nearest to a point [2]. -> [number], indices in 0..W-1."""
    return jax.lax.top_k(-_squared_distance(walls, position), number)[1]


def touches(walls: jax.Array, position: jax.Array, radius: float) -> jax.Array:
    """Say which boxes [W, 4] a disc overlaps. position: [2], its centre. -> [W] bool."""
    return _squared_distance(walls, position) < radius**2


def _squared_distance(walls: jax.Array, position: jax.Array) -> jax.Array:
    """Square the distance of a point [2] to each box [W, 4], 0 inside. -> [W]."""
    gap = jnp.maximum(jnp.maximum(walls[:, :2] - position, position - walls[:, 2:]), 0.0)
    return jnp.square(gap).sum(axis=1)


def _rows(text: str) -> tuple[str, ...]:
    """Split text into rows of one length; blanks at their ends are easily lost in text."""
    rows = text.strip("\n").split("\n")
    width = max(map(len, rows))
    return tuple(row.ljust(width) for row in rows)


def _check(cells: Sequence[str]) -> None:
    for number, row in enumerate(cells, start=1):
        if len(row) != len(cells[0]):
            raise ValueError(
                f"layout line {number} has {len(row)} cells and line 1 has {len(cells[0])}; use "
                "rows of one length, with blanks outside"
            )
        for column, symbol in enumerate(row, start=1):
            if symbol not in SYMBOLS:
                raise ValueError(
                    f"layout line {number}, column {column}: {symbol!r} is no map symbol; use one "
                    f"of {SYMBOLS!r}"
                )
    starts, goals = len(_spots(cells, "S")), len(_spots(cells, "G"))
    if starts != 1:
        raise ValueError(f"layout has {starts} 'S'; use exactly one")
    if not goals:
        raise ValueError("layout has 0 'G'; use at least one")


def _spots(cells: Sequence[str], symbols: str) -> list[tuple[int, int]]:
    return [(r, c) for r, row in enumerate(cells) for c, cell in enumerate(row) if cell in symbols]


def _centre(cells: Sequence[str], spot: tuple[int, int], size: float) -> np.ndarray:
    row, column = spot
    x0, y0, x1, y1 = _box(cells, (row, column, row + 1, column + 1), size)
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2])


def _box(cells: Sequence[str], box: tuple[int, int, int, int], size: float) -> list[float]:
    """Turn rows and columns [from, to) into (x_min, y_min, x_max, y_max)."""
    top, left, bottom, right = box
    middle_x, middle_y = len(cells[0]) / 2, len(cells) / 2
    corners = (left - middle_x, middle_y - bottom, right - middle_x, middle_y - top)
    return [size * corner for corner in corners]


def _boxes(cells: Sequence[str], walls: str, merge: bool) -> list[tuple[int, int, int, int]]:
    """Cover the cells of some kinds of wall by boxes: rows and columns [from, to)."""
    solid = np.array([[cell in walls for cell in row] for row in cells])
    return merged(solid) if merge else [(r, c, r + 1, c + 1) for r, c in np.argwhere(solid)]
