"""The point maze on MJX against traces of C MuJoCo: three maps, with and without obstacles."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import make, mazes
from envs.mazes import ARRIVAL_REWARD, arrival, progress
from envs.point_maze import CONTACT_RADIUS, make_physics
from tests import reference

pytestmark = pytest.mark.heavy

FILES = {"3.17": "pointmaze", "3.1.6": "pointmaze_mujoco316"}
VARIANTS = [(layout, mode) for layout in mazes.LAYOUTS for mode in ("train", "obstacles")]
NUM_WALLS = 128  # every map is padded to as many, so that one compiled step serves them all
FAR_BOX = [1e3, 1e3, 1e3 + 1, 1e3 + 1]
TOLERANCE = 1e-4  # of position, velocity and dense reward, after one step
SEAM_REACH = 0.15  # from a seam; the point reaches 0.104, and moves up to 0.05 in a step


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


def maze_of(variant: tuple[str, str], merge: bool) -> mazes.Maze:
    layout, mode = variant
    return mazes.build(mazes.LAYOUTS[layout], obstacles=mode == "obstacles", merge=merge)


def padded_walls(merge: bool) -> np.ndarray:
    """The walls of every variant. -> [V, NUM_WALLS, 4]."""
    walls = [maze_of(variant, merge).walls for variant in VARIANTS]
    fill = [np.tile(FAR_BOX, (NUM_WALLS - len(boxes), 1)) for boxes in walls]
    return np.stack([np.concatenate(pair) for pair in zip(walls, fill, strict=True)])


@cache
def recorded(version: str) -> Steps:
    data = reference.load(FILES[version])
    parts = []
    for number, (layout, mode) in enumerate(VARIANTS):
        of = {
            name: data[f"{layout}_{mode}_{name}"]
            for name in (
                "obs",
                "action",
                "reward",
                "reward_dense",
                "target",
                "terminated",
                "wall_contact",
            )
        }
        valid = data[f"{layout}_{mode}_valid"]
        parts.append(
            Steps(
                np.full(valid.sum(), number),
                of["obs"][:, :-1][valid],
                of["action"][valid],
                of["obs"][:, 1:][valid],
                of["reward"][valid],
                of["reward_dense"][valid],
                of["target"][valid],
                of["terminated"][valid],
                of["wall_contact"][valid],
            )
        )
    return Steps(*map(np.concatenate, zip(*parts, strict=True)))


@cache
def compiled_step(version: str):
    return jax.jit(jax.vmap(make_physics(NUM_WALLS, CONTACT_RADIUS[version])))


@cache
def single_steps(version: str, merge: bool) -> np.ndarray:
    """Step once from every recorded state. -> [N, 4]."""
    steps = recorded(version)
    walls = padded_walls(merge)[steps.variant]
    inputs = (walls, steps.before, steps.action)
    return np.asarray(compiled_step(version)(*(jnp.asarray(x, jnp.float32) for x in inputs)))


@pytest.mark.parametrize("version", FILES)
def test_a_step_from_any_recorded_state_is_the_references(version):
    steps = recorded(version)
    error = np.abs(single_steps(version, merge=False) - steps.after)
    for number, variant in enumerate(VARIANTS):
        here = steps.variant == number
        position, velocity = error[here, :2].max(), error[here, 2:].max()
        contacts = (here & steps.contact).sum()
        print(
            f"{version} {variant}: {here.sum()} steps, {contacts} contacts, "
            f"position {position:.1e}, velocity {velocity:.1e}"
        )
    assert steps.contact.sum() > 800
    assert error.max() < TOLERANCE


@pytest.mark.parametrize("version", FILES)
def test_goals_and_rewards_are_the_references(version):
    steps, after = recorded(version), single_steps(version, merge=False)
    for number, variant in enumerate(VARIANTS):
        maze, here = maze_of(variant, merge=False), steps.variant == number
        goals = jnp.asarray(maze.goals, jnp.float32)
        before, now = jnp.float32(steps.before[here, :2]), jnp.asarray(after[here, :2])
        goal = np.asarray(jax.vmap(arrival, (None, None, 0))(goals, maze.half, now))
        gained = np.asarray(jax.vmap(progress, (None, 0, 0))(goals, before, now))
        offset = np.abs(steps.after[here, None, :2] - maze.goals).max(axis=-1)
        clear = (np.abs(offset - maze.half) > TOLERANCE).all(axis=1)
        assert (~clear).sum() <= 2
        np.testing.assert_array_equal(goal[clear], steps.goal[here][clear])
        np.testing.assert_array_equal((goal > 0)[clear], steps.terminated[here][clear])
        sparse = np.where(goal > 0, ARRIVAL_REWARD, 0.0)
        np.testing.assert_array_equal(sparse[clear], steps.reward[here][clear])
        dense = np.where(goal > 0, ARRIVAL_REWARD, gained)
        np.testing.assert_allclose(dense[clear], steps.dense[here][clear], rtol=0, atol=TOLERANCE)


def test_open_loop_stays_on_the_references_trajectory():
    data = reference.load(FILES["3.17"])
    physics = jax.vmap(make_physics(NUM_WALLS, CONTACT_RADIUS["3.17"]))
    obs, action = (
        np.concatenate([data[f"{layout}_{mode}_{name}"] for layout, mode in VARIANTS])
        for name in ("obs", "action")
    )
    walls = jnp.asarray(padded_walls(merge=False), jnp.float32).repeat(8, axis=0)

    @jax.jit
    def play(start, actions):
        def step(state, action):
            after = physics(walls, state, action)
            return after, after

        return jax.lax.scan(step, start, actions)[1]

    path = play(jnp.asarray(obs[:, 0], jnp.float32), jnp.asarray(action).swapaxes(0, 1))
    error = np.abs(np.asarray(path).swapaxes(0, 1) - obs[:, 1:])  # NaN after an episode's end
    position, velocity = np.nanmax(error[..., :2]), np.nanmax(error[..., 2:])
    print(f"open loop of 48 episodes: position {position:.1e}, velocity {velocity:.1e}")
    assert position < 1e-4
    assert velocity < 1e-3


def seams(variant: tuple[str, str]) -> np.ndarray:
    """Corners of cells on the inside of a wall's face, where merging removes a corner. -> [P, 2].

    . .        the corner in the middle belongs to both walls below and sticks out of neither:
    # #        the boxes of two cells meet there, a merged box runs through
    """
    cells = maze_of(variant, merge=False).cells
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


def test_merged_walls_differ_from_the_references_only_at_seams():
    steps = recorded("3.17")
    error = np.abs(single_steps("3.17", merge=True) - steps.after).max(axis=1)
    at_seam = np.zeros(len(error), bool)
    for number, variant in enumerate(VARIANTS):
        here = steps.variant == number
        reach = np.abs(steps.before[here, None, :2] - seams(variant)).max(axis=-1)
        at_seam[here] = (reach < SEAM_REACH).any(axis=1)
    differs = error > TOLERANCE
    print(
        f"merged walls: {differs.sum()} of {steps.contact.sum()} contact steps differ, by at most "
        f"{error.max():.2f} m/s; {(at_seam & steps.contact).sum()} contact steps are at seams"
    )
    assert not (differs & ~at_seam).any()
    assert differs.sum() <= 5


def test_the_whole_environment_follows_the_reference():
    data = reference.load(FILES["3.17"])
    env = make("point_maze", layout="simple", reward="dense", merge_walls=False)
    names = ("obs", "action", "reward_dense", "target", "terminated", "length")
    obs, action, reward, goal, terminated, length = (data[f"simple_train_{n}"] for n in names)
    state = env.reset(jax.random.split(jax.random.key(0), len(obs)))
    step = jax.jit(env.step)
    np.testing.assert_allclose(state.obs, obs[:, 0], rtol=0, atol=TOLERANCE)
    for t in range(length.min()):  # until the first episode ends
        state = step(state, jnp.asarray(action[:, t]))
        seen = state.info["terminal_obs"]
        np.testing.assert_allclose(seen, obs[:, t + 1], rtol=0, atol=1e-3)
        np.testing.assert_allclose(state.reward, reward[:, t], rtol=0, atol=1e-3)
        np.testing.assert_array_equal(state.info["goal"], goal[:, t])
        np.testing.assert_array_equal(state.done, terminated[:, t])
    assert state.done.any()


@pytest.mark.parametrize("variant", VARIANTS, ids="_".join)
def test_maps_are_the_references(variant):
    data = reference.load(FILES["3.17"])
    maze = maze_of(variant, merge=False)
    prefix = "_".join(variant)
    np.testing.assert_array_equal(maze.goals, data[f"{prefix}_goals"])
    np.testing.assert_array_equal(maze.start, data[f"{prefix}_start"])
    assert mazes.MAX_STEPS[variant[0]] == data[f"{prefix}_max_steps"]
