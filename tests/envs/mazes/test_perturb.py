"""Perturbed maps: what is changed and what is not, and many of them in one environment."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drac_jax.types import EnvSpec
from envs import TaskStep, batch, make
from envs.batching import deal
from envs.mazes import maze_map, perturb
from tests.support.tolerances import assert_within, error_of

ROOM = ("#######", "#G.o.G#", "#.....#", "#..S.o#", "#o...G#", "#######")
MAX_STEPS = 60
each_map = pytest.mark.parametrize("name", maze_map.LAYOUTS)


def cells_of(rows) -> np.ndarray:
    return np.array([list(row) for row in rows])


def reached(rows) -> set[tuple[int, int]]:
    """Walk from the start over everything that is not a wall, without diagonals."""
    cells = cells_of(rows)
    (start,) = np.argwhere(cells == "S")
    todo, seen = deque([tuple(start)]), {tuple(start)}
    while todo:
        row, column = todo.popleft()
        for r, c in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
            inside = 0 <= r < cells.shape[0] and 0 <= c < cells.shape[1]
            if inside and cells[r, c] not in "# " and (r, c) not in seen:
                seen.add((r, c))
                todo.append((r, c))
    return seen


@st.composite
def layouts(draw) -> list[str]:
    """Small maps whose goals can all be reached."""
    rows, columns = draw(st.integers(2, 6)), draw(st.integers(2, 6))
    count = rows * columns
    text = draw(st.lists(st.sampled_from("..o# "), min_size=count, max_size=count))
    places = draw(st.permutations(range(count)))[: draw(st.integers(2, 4))]
    for place, symbol in zip(places, "SGGG", strict=False):
        text[place] = symbol
    layout = ["".join(text[r * columns : (r + 1) * columns]) for r in range(rows)]
    seen = reached(layout)
    return [
        "".join("." if c == "G" and (r, i) not in seen else c for i, c in enumerate(row))
        for r, row in enumerate(layout)
    ]


def most_walls(layout, seed: int) -> int:
    """Ask for more walls than there are cells; the answer says how many fit."""
    with pytest.raises(ValueError, match="use at most") as error:
        perturb.random_walls(layout, 1000, seed)
    return int(str(error.value).rsplit(" ", 1)[1])


@settings(deadline=None, max_examples=60)
@given(layouts().filter(lambda rows: "G" in "".join(rows)), st.integers(0, 5), st.data())
def test_walls_take_k_free_cells_and_cut_no_goal_off(layout, seed, data):
    k = data.draw(st.integers(0, most_walls(layout, seed)))
    before, after = cells_of(layout), cells_of(perturb.random_walls(layout, k, seed))
    changed = before != after
    assert changed.sum() == k
    assert set(before[changed]) <= {".", "o"} and set(after[changed]) <= {"#"}
    assert {tuple(spot) for spot in np.argwhere(after == "G")} <= reached(after)


@each_map
def test_walls_are_a_function_of_the_seed(name):
    layout = maze_map.LAYOUTS[name]
    drawn = [perturb.random_walls(layout, 10, seed) for seed in range(30)]
    assert drawn == [perturb.random_walls(layout, 10, seed) for seed in range(30)]
    assert len(set(drawn)) == 30


def test_more_walls_keep_those_of_fewer():
    maps = [cells_of(perturb.random_walls(ROOM, k, seed=3)) == "#" for k in range(9)]
    for few, more in zip(maps, maps[1:], strict=False):
        assert (more >= few).all() and more.sum() == few.sum() + 1


def test_the_answer_to_too_many_walls_is_the_most_that_fit():
    most = most_walls(ROOM, seed=0)
    assert most > 0
    perturb.random_walls(ROOM, most, seed=0)
    with pytest.raises(ValueError, match=rf"k={most + 1} .*seed=0.*use at most {most}"):
        perturb.random_walls(ROOM, most + 1, seed=0)
    with pytest.raises(ValueError, match="k=-1 must be at least 0"):
        perturb.random_walls(ROOM, -1, seed=0)


def test_a_goal_that_no_way_leads_to_is_refused():
    with pytest.raises(ValueError, match="1 goal.* cannot be reached"):
        perturb.random_walls(["S.G#G"], 0, seed=0)


def test_maps_are_equally_many_for_each_number_of_walls():
    walls, drawn = perturb.with_random_walls(ROOM, most=3, maps=2)
    assert walls == [0, 0, 1, 1, 2, 2, 3, 3]
    added = [(cells_of(rows) == "#").sum() - (cells_of(ROOM) == "#").sum() for rows in drawn]
    assert added == walls
    assert drawn[0] == drawn[1] == ROOM


@each_map
def test_obstacles_that_are_walls_already_are_not_free(name):
    layout = maze_map.LAYOUTS[name]
    for seed in range(5):
        before, after = (
            cells_of(maze_map.read(layout)),
            cells_of(perturb.random_walls(layout, 10, seed, obstacles=True)),
        )
        assert set(before[before != after]) == {"."}
        blocked = ["".join(row).replace("o", "#") for row in after]
        assert {tuple(spot) for spot in np.argwhere(after == "G")} <= reached(blocked)


def test_goals_that_are_left_keep_their_numbers():
    maze, all_there = maze_map.build(perturb.remove_goals(ROOM, [2])), maze_map.build(ROOM)
    for number, centre in enumerate(all_there.goals, start=1):
        seen = maze_map.arrival(jnp.asarray(maze.goals), maze.half, jnp.asarray(centre))
        assert seen == (0 if number == 2 else number)
    np.testing.assert_array_equal(maze.walls, all_there.walls)


def test_progress_is_towards_goals_that_are_left():
    goals = jnp.asarray(maze_map.build(perturb.remove_goals(ROOM, [1, 2])).goals)
    third = maze_map.build(ROOM).goals[2:]
    before, after = jnp.array([-2.0, 1.5]), jnp.array([-1.0, 1.0])
    gained = maze_map.progress(goals, before, after)
    np.testing.assert_allclose(gained, maze_map.progress(jnp.asarray(third), before, after))


@pytest.mark.parametrize(
    ("goals", "message"),
    [([4], r"4 is no goal; use numbers in 1\.\.3"), ([0], "0 is no goal"), ([1, 2, 3], "0 'G'")],
)
def test_goals_that_cannot_be_removed_are_refused(goals, message):
    with pytest.raises(ValueError, match=message):
        perturb.remove_goals(ROOM, goals)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (["S..G"], "maze 1 has another start than maze 0"),
        (["GSG"], "maze 1 has 2 goals and maze 0 has 1"),
    ],
)
def test_mazes_that_differ_in_more_than_walls_are_not_stacked(other, message):
    with pytest.raises(ValueError, match=message):
        maze_map.stack([maze_map.build([".SG"]), maze_map.build(other)])


def test_an_environment_keeps_its_variant_through_resets():
    def step(pay: jax.Array, count: jax.Array, action: jax.Array) -> TaskStep:
        count = count + 1.0
        return TaskStep(count, count[None], reward=pay, terminated=count >= pay)

    start = TaskStep(jnp.zeros(()), jnp.zeros(1))
    task = deal(EnvSpec("dealt", 1, 1, 9), lambda key: start, step, jnp.array([1.0, 2.0, 3.0]))
    env = batch(task, pool_size=4)
    play = jax.jit(env.step)
    state = env.reset(jax.random.split(jax.random.key(0), 7))
    ended = np.zeros(7, int)
    for _ in range(6):
        state = play(state, jnp.zeros((7, 1)))
        np.testing.assert_array_equal(state.reward, [1, 2, 3, 1, 2, 3, 1])
        ended += np.asarray(state.done)
    np.testing.assert_array_equal(ended, [6, 3, 2, 6, 3, 2, 6])
    assert play._cache_size() == 1


# The start is at (0, -0.5). The wall above it has boxes of its own; the goal on its right is gone.
OPEN = ("#######", "#G...G#", "#.....#", "#..S.G#", "#.....#", "#######")
BLOCKED = ("#######", "#G...G#", "#..#..#", "#..S.G#", "#.....#", "#######")
GONE = perturb.remove_goals(OPEN, [3])
MAPS = (OPEN, BLOCKED, GONE)
ACTIONS = np.array([[0.0, 1.0], [1.0, 0.0], [-0.7, 1.0], [0.6, 0.9]], np.float32)


@pytest.fixture(scope="module")
def played() -> dict[str, np.ndarray]:
    """Play all maps at once, each with every action held: environment i has map i % 3."""
    env = make("point_mazes", layouts=MAPS, max_steps=MAX_STEPS, reward="dense")
    step = jax.jit(env.step)
    plan = jnp.asarray(np.repeat(ACTIONS, len(MAPS), axis=0))
    seen = roll(env.reset(jax.random.split(jax.random.key(0), len(plan))), step, plan)
    assert step._cache_size() == 1
    return {name: x.reshape(2 * MAX_STEPS, len(ACTIONS), len(MAPS), -1) for name, x in seen.items()}


def roll(state, step, plan) -> dict[str, np.ndarray]:
    """Hold the actions for two episodes at least, over resets. -> leaves [T, E, ...]."""
    seen: dict[str, list] = {"obs": [], "terminal_obs": [], "reward": [], "done": [], "goal": []}
    for _ in range(2 * MAX_STEPS):
        state = step(state, plan)
        for name, rows in seen.items():
            rows.append(np.asarray(state.info[name] if name in state.info else vars(state)[name]))
    return {name: np.stack(rows) for name, rows in seen.items()}


@pytest.mark.heavy
@pytest.mark.parametrize("number", [1, 2], ids=["wall added", "goal removed"])
def test_an_environment_on_a_map_is_the_environment_of_that_map(played, number):
    env = make("point_maze", layout=MAPS[number], max_steps=MAX_STEPS, reward="dense")
    alone = roll(
        env.reset(jax.random.split(jax.random.key(0), len(ACTIONS))),
        jax.jit(env.step),
        jnp.asarray(ACTIONS),
    )
    for name, values in alone.items():
        of_map = played[name][:, :, number].reshape(values.shape)
        assert_within("map among others", error_of(of_map, values))


@pytest.mark.heavy
def test_the_point_stops_at_the_wall_of_its_own_map_only(played):
    up = played["terminal_obs"][:MAX_STEPS, 0, :, 1].max(axis=0)
    assert -0.2 < up[1] < -0.05  # the wall begins at y = 0, the point has a radius of 0.1
    assert up[0] > 0.5 and up[2] > 0.5


@pytest.mark.heavy
def test_a_removed_goal_neither_pays_nor_ends(played):
    right, at = played["terminal_obs"][:, 1, :, 0], maze_map.build(OPEN).goals[2, 0] - 0.5
    here, gone = right[:, 0] > at, right[:, 2] > at
    assert here.any() and gone.any()
    assert (played["goal"][here, 1, 0] == 3).all() and played["done"][here, 1, 0].all()
    assert not played["goal"][:, 1, 2].any() and played["reward"][:, 1, 2].max() < 10.0
    ends = np.flatnonzero(played["done"][:, 1, 2])
    np.testing.assert_array_equal(ends, [MAX_STEPS - 1, 2 * MAX_STEPS - 1])


def test_an_environment_of_no_map_is_refused():
    with pytest.raises(ValueError, match=r"layouts=\[\] must hold"):
        make("point_mazes", layouts=[], max_steps=MAX_STEPS)
