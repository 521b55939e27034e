"""The point maze on MJX against traces of C MuJoCo: two dynamics, two versions of MuJoCo, three
maps, with and without obstacles."""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import make
from envs.mazes import maze_map
from envs.mazes.maze_map import ARRIVAL_REWARD, arrival, progress
from envs.mazes.point_maze import CONTACT_RADIUS, MAX_SPEED, MOVES, RADIUS, Motion, make_physics
from tests.support import reference
from tests.support.tolerances import TABLE, assert_within

pytestmark = pytest.mark.heavy

# dynamics and MuJoCo version -> file
FILES = {
    ("authors", "3.17"): "pointmaze_authors",
    ("authors", "3.1.6"): "pointmaze_authors_mujoco316",
    ("farama", "3.17"): "pointmaze",
    ("farama", "3.1.6"): "pointmaze_mujoco316",
}
each_file = pytest.mark.parametrize("kind", FILES, ids=" ".join)
each_dynamics = pytest.mark.parametrize("dynamics", MOVES)
VARIANTS = [(layout, mode) for layout in maze_map.LAYOUTS for mode in ("train", "obstacles")]
LOOPS = 8  # recorded of each variant
CHUNK = LOOPS * len(VARIANTS)  # points that the compiled step takes
NUM_WALLS = 128  # every map is padded to as many, so that one compiled step serves them all
FAR_BOX = [1e3, 1e3, 1e3 + 1, 1e3 + 1]
# From a seam; the point reaches 0.104, and moves up to 0.05 in a physics step.
SEAM_REACH = {"authors": 0.21, "farama": 0.16}
# Recorded steps at seams that merging changes, by 1e-2 m/s or more: walls do it, not rounding.
CHANGED = {"authors": 5, "farama": 3}


class Steps(NamedTuple):
    """All recorded steps [N] of a file, and the variant that each belongs to."""

    variant: np.ndarray
    before: np.ndarray
    action: np.ndarray
    after: np.ndarray
    reward: np.ndarray
    dense: np.ndarray
    goal: np.ndarray
    terminated: np.ndarray
    contact: np.ndarray
    hit: np.ndarray


def maze_of(variant: tuple[str, str], merge: bool, dynamics: str) -> maze_map.Maze:
    layout, mode = variant
    obstacles = mode == "obstacles"
    return maze_map.build(maze_map.LAYOUTS[layout], 1.0, obstacles, merge, dynamics)


def padded_walls(merge: bool, dynamics: str) -> np.ndarray:
    """The walls of every variant. -> [V, NUM_WALLS, 4]."""
    walls = [maze_of(variant, merge, dynamics).walls for variant in VARIANTS]
    fill = [np.tile(FAR_BOX, (NUM_WALLS - len(boxes), 1)) for boxes in walls]
    return np.stack([np.concatenate(pair) for pair in zip(walls, fill, strict=True)])


def limited(obs: np.ndarray, dynamics: str) -> np.ndarray:
    """Turn what was observed [N, 4] into what the next step starts from."""
    speed = np.abs(obs[:, 2:]).max(axis=1, keepdims=True, initial=0.0)
    scale = MAX_SPEED / np.maximum(speed, MAX_SPEED) if dynamics == "authors" else 1.0
    return np.concatenate([obs[:, :2], obs[:, 2:] * scale], axis=1)


@cache
def recorded(kind: tuple[str, str]) -> Steps:
    data = reference.load(FILES[kind])
    parts = []
    for number, (layout, mode) in enumerate(VARIANTS):
        prefix = f"{layout}_{mode}_"
        valid = data[prefix + "valid"]
        none = np.zeros(valid.shape, bool)
        names = ("reward", "reward_dense", "target", "terminated", "wall_contact")
        told = [data[prefix + name][valid] for name in names]
        hit = data.get(prefix + "obstacle_hit", none)[valid]
        obs, action = data[prefix + "obs"], data[prefix + "action"]
        before = limited(obs[:, :-1][valid], kind[0])
        moved = (before, action[valid], obs[:, 1:][valid])
        parts.append(Steps(np.full(valid.sum(), number), *moved, *told, hit))
    return Steps(*map(np.concatenate, zip(*parts, strict=True)))


def motion(kind: tuple[str, str]):
    """Make (walls [N, W, 4], state [N, 4], action [N, 2]) -> Motion of N points."""
    dynamics, version = kind
    physics = make_physics(NUM_WALLS, CONTACT_RADIUS[version])
    return jax.vmap(lambda walls, *point: MOVES[dynamics](partial(physics, walls), *point))


@cache
def compiled_step(kind: tuple[str, str]):
    return jax.jit(motion(kind))


def in_turn(kind: tuple[str, str], *points: np.ndarray) -> Motion:
    """Step N points, CHUNK at a time: open loops and single steps are one program."""
    parts = []
    for start in range(0, len(points[0]), CHUNK):
        here = (np.resize(x[start : start + CHUNK], (CHUNK, *x.shape[1:])) for x in points)
        parts.append(compiled_step(kind)(*(jnp.asarray(x, jnp.float32) for x in here)))
    joined = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    return jax.tree.map(lambda x: x[: len(points[0])], joined)


@cache
def single_steps(kind: tuple[str, str], merge: bool) -> Motion:
    """Step once from every recorded state. -> leaves [N, ...]."""
    steps = recorded(kind)
    walls = padded_walls(merge, kind[0])[steps.variant]
    return in_turn(kind, walls, steps.before, steps.action)


@each_file
def test_a_step_from_any_recorded_state_is_the_references(kind):
    steps = recorded(kind)
    error = np.abs(single_steps(kind, merge=False).obs - steps.after)
    for number, variant in enumerate(VARIANTS):
        here = steps.variant == number
        position, velocity = error[here, :2].max(), error[here, 2:].max()
        contacts = (here & steps.contact).sum()
        print(
            f"{kind} {variant}: {here.sum()} steps, {contacts} contacts, "
            f"position {position:.1e}, velocity {velocity:.1e}"
        )
    assert steps.contact.sum() > (650 if kind[0] == "authors" else 800)
    assert_within("maze step, position", error[:, :2])
    assert_within("maze step, velocity in the open", error[~steps.contact, 2:])
    assert_within("maze step, velocity at walls", error[steps.contact, 2:])


@each_file
def test_goals_and_rewards_are_the_references(kind):
    steps, after = recorded(kind), single_steps(kind, merge=False).obs
    rounding = TABLE["maze step, position"].tolerance  # decides so near to a goal's border
    for number, variant in enumerate(VARIANTS):
        maze, here = maze_of(variant, False, kind[0]), steps.variant == number
        goals = jnp.asarray(maze.goals, jnp.float32)
        before, now = jnp.float32(steps.before[here, :2]), jnp.asarray(after[here, :2])
        goal = np.asarray(jax.vmap(arrival, (None, None, 0))(goals, maze.half, now))
        gained = np.asarray(jax.vmap(progress, (None, 0, 0))(goals, before, now))
        offset = np.abs(steps.after[here, None, :2] - maze.goals).max(axis=-1)
        clear = (np.abs(offset - maze.half) > rounding).all(axis=1)
        assert (~clear).sum() <= 2
        np.testing.assert_array_equal(goal[clear], steps.goal[here][clear])
        ends = (goal > 0) | steps.hit[here]
        np.testing.assert_array_equal(ends[clear], steps.terminated[here][clear])
        sparse = np.where(goal > 0, ARRIVAL_REWARD, 0.0)
        np.testing.assert_array_equal(sparse[clear], steps.reward[here][clear])
        dense = np.where(goal > 0, ARRIVAL_REWARD, gained)
        assert_within("maze step, reward", np.abs(dense[clear] - steps.dense[here][clear]))


@pytest.mark.parametrize("version", CONTACT_RADIUS)
def test_obstacles_are_touched_where_the_reference_says(version):
    kind = ("authors", version)
    steps, places = recorded(kind), single_steps(kind, merge=False).contact
    for number, variant in enumerate(VARIANTS):
        maze, here = maze_of(variant, False, "authors"), steps.variant == number
        touched = jax.vmap(maze_map.touches, (None, 0, None))(
            jnp.float32(maze.walls), jnp.asarray(places[here]), RADIUS
        )
        hit = (np.asarray(touched) & maze.fatal).any(axis=1)
        np.testing.assert_array_equal(hit, steps.hit[here])
    assert steps.hit.sum() >= 9


@each_dynamics
def test_open_loop_stays_on_the_references_trajectory(dynamics):
    kind = (dynamics, "3.17")
    data = reference.load(FILES[kind])
    obs, action = (
        np.concatenate([data[f"{layout}_{mode}_{name}"] for layout, mode in VARIANTS])
        for name in ("obs", "action")
    )
    walls = padded_walls(False, dynamics).repeat(LOOPS, axis=0)
    state, path = obs[:, 0], []
    for t in range(action.shape[1]):
        after = in_turn(kind, walls, state, action[:, t])
        state = after.state
        path.append(after.obs)
    error = np.abs(np.stack(path, axis=1) - obs[:, 1:])  # NaN after an episode's end
    position, velocity = np.nanmax(error[..., :2]), np.nanmax(error[..., 2:])
    print(f"open loop of 48 episodes: position {position:.1e}, velocity {velocity:.1e}")
    assert_within(f"maze open loop, {dynamics}, position", position)
    assert_within(f"maze open loop, {dynamics}, velocity", velocity)


def seams(variant: tuple[str, str]) -> np.ndarray:
    """Corners of cells on the inside of a wall's face, where merging removes a corner. -> [P, 2].

    . .        the corner in the middle belongs to both walls below and sticks out of neither:
    # #        the boxes of two cells meet there, a merged box runs through
    """
    cells = maze_of(variant, False, "farama").cells
    solid = "#o" if variant[1] == "obstacles" else "#"
    is_wall = np.array([[cell in solid for cell in row] for row in cells])
    rows, columns = is_wall.shape
    corner = [
        (column - columns / 2, rows / 2 - row)
        for row in range(1, rows)
        for column in range(1, columns)
        if is_wall[row - 1 : row + 1, column - 1 : column + 1].sum() >= 2
    ]
    return np.array(corner)


@each_dynamics
def test_merged_walls_differ_from_the_references_only_at_seams(dynamics):
    kind = (dynamics, "3.17")
    steps = recorded(kind)
    error = np.abs(single_steps(kind, merge=True).obs - steps.after).max(axis=1)
    at_seam = np.zeros(len(error), bool)
    for number, variant in enumerate(VARIANTS):
        here = steps.variant == number
        reach = np.abs(steps.before[here, None, :2] - seams(variant)).max(axis=-1)
        at_seam[here] = (reach < SEAM_REACH[dynamics]).any(axis=1)
    differs = error > TABLE["maze step, velocity at walls"].tolerance
    print(
        f"merged walls: {differs.sum()} of {steps.contact.sum()} contact steps differ, by at most "
        f"{error.max():.2f} m/s; {(at_seam & steps.contact).sum()} contact steps are at seams"
    )
    assert not (differs & ~at_seam).any()
    assert differs.sum() == CHANGED[dynamics]


@each_dynamics
@pytest.mark.parametrize("mode", ["train", "obstacles"])
def test_the_whole_environment_follows_the_reference(dynamics, mode):
    data = reference.load(FILES[dynamics, "3.17"])
    env = make(
        "point_maze",
        layout="simple",
        reward="dense",
        obstacles=mode == "obstacles",
        merge_walls=False,
        dynamics=dynamics,
        contacts_of="3.17",
    )
    names = ("obs", "action", "reward_dense", "target", "terminated", "length")
    obs, action, reward, goal, terminated, length = (data[f"simple_{mode}_{n}"] for n in names)
    state = env.reset(jax.random.split(jax.random.key(0), len(obs)))
    step = jax.jit(env.step)
    assert_within("maze step, position", np.abs(state.obs - obs[:, 0]))
    for t in range(min(length.min(), env.spec.max_steps)):  # until the first episode ends
        state = step(state, jnp.asarray(action[:, t]))
        seen = state.info["terminal_obs"]
        difference = np.abs(seen - obs[:, t + 1])
        assert_within("maze environment, position", difference[:, :2])
        assert_within("maze environment, velocity", difference[:, 2:])
        assert_within("maze environment, position", np.abs(state.reward - reward[:, t]))
        np.testing.assert_array_equal(state.info["goal"], goal[:, t])
        # A script may go on past the time limit, where ours ends.
        np.testing.assert_array_equal(state.done & ~state.info["truncation"], terminated[:, t])
    assert state.done.any()


@pytest.mark.parametrize("variant", VARIANTS, ids="_".join)
def test_maps_are_the_references(variant):
    data = reference.load(FILES["authors", "3.17"])
    maze = maze_of(variant, False, "authors")
    prefix = "_".join(variant)
    np.testing.assert_array_equal(maze.goals, data[f"{prefix}_goals"])
    np.testing.assert_array_equal(maze.start, data[f"{prefix}_start"])
    assert maze_map.MAX_STEPS[variant[0]] == data[f"{prefix}_max_steps"]
