"""What `batch` makes of a task, in exact figures, and what `make` answers to mistakes."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import batch, make
from envs.mazes import maze_map
from tests.support import toys

ROOT = Path(__file__).resolve().parents[2]
NUM_ENVS = 3


def keys(seed: int = 0, number: int = NUM_ENVS) -> jax.Array:
    return jax.random.split(jax.random.key(seed), number)


def assert_same(left, right, atol: float = 0.0) -> None:
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def test_termination_is_not_truncation_and_sums_restart():
    env = batch(toys.countdown(longest=1))
    state = env.step(env.reset(keys()), jnp.zeros((NUM_ENVS, 1)))
    assert state.done.all() and not state.info["truncation"].any()
    assert_same(state.info["terminal_obs"], jnp.zeros((NUM_ENVS, 1)))
    assert_same(state.obs, jnp.ones((NUM_ENVS, 1)))
    again = env.step(state, jnp.zeros((NUM_ENVS, 1)))
    assert_same(again.info["episode_return"], jnp.ones(NUM_ENVS))
    assert_same(again.info["episode_length"], jnp.ones(NUM_ENVS))


def test_termination_in_the_last_step_is_not_truncation():
    env = batch(toys.obedient(max_steps=1))
    state = env.step(env.reset(keys()), -jnp.ones((NUM_ENVS, 1)))
    assert state.done.all() and not state.info["truncation"].any()


def test_a_broken_environment_ends_is_counted_and_is_replaced():
    env = batch(toys.obedient(max_steps=100))
    step = jax.jit(env.step)
    state = step(env.reset(keys()), jnp.zeros((NUM_ENVS, 1)))
    state = step(state, jnp.array([[0.0], [1.0], [0.0]]))
    broken = np.array([False, True, False])
    for flag in (state.info["broken"], state.done, state.info["truncation"]):
        np.testing.assert_array_equal(flag, broken)
    assert_same(state.info["terminal_obs"], np.array([[2.0], [1.0], [2.0]]))  # the last finite one
    assert_same(state.reward, np.array([20.0, 0.0, 20.0]))
    assert_same(state.obs, np.array([[2.0], [0.0], [2.0]]))
    state = step(state, jnp.zeros((NUM_ENVS, 1)))
    assert not state.info["broken"].any()
    assert_same(state.obs, np.array([[3.0], [1.0], [3.0]]))


def test_autoreset_draws_different_initial_states():
    number = 64
    env = batch(toys.countdown(longest=5))
    step = jax.jit(env.step)
    state = env.reset(keys(number=number))
    starts, idle = [], jnp.zeros((number, 1))
    for _ in range(30):
        state = step(state, idle)
        starts.append(np.asarray(state.obs)[np.asarray(state.done), 0])
    assert set(np.concatenate(starts)) == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert max(len(set(drawn)) for drawn in starts) > 1


def test_multigoal_does_not_import_mujoco():
    code = "import envs, sys; envs.make('multigoal'); sys.exit('mujoco' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pointmaze", {}, "'pointmaze' is unknown; nearest: point_maze"),
        ("multigoal", {"layout": "simple"}, "no option 'layout'; it has metric, reward"),
        ("multigoal", {"reward": "rare"}, "reward='rare' is unknown"),
        ("multigoal", {"metric": "l1"}, "metric='l1' is unknown"),
        ("point_maze", {"reward": "rare"}, "reward='rare' is unknown"),
        ("point_maze", {"contacts_of": "2.0"}, "contacts_of='2.0' is unknown"),
        ("point_maze", {"layout": "simpel"}, "nearest: simple"),
        ("point_maze", {"layout": ["#S#"], "max_steps": 9}, "0 'G'"),
    ],
)
def test_mistakes_are_answered_with_what_to_use(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


def test_a_task_or_an_environment_is_made_as_well_as_a_name():
    task = toys.countdown()
    env = make(task, max_steps=7)
    assert (env.spec.name, env.spec.max_steps) == (task.spec.name, 7)
    assert make(env) is env
    with pytest.raises(ValueError, match="type Task has no option 'layout'; it has max_steps"):
        make(task, layout="simple")
    with pytest.raises(ValueError, match="reset"):
        make(object(), max_steps=7)


def test_an_empty_reset_pool_is_refused():
    with pytest.raises(ValueError, match="pool_size=0 must be at least 1"):
        batch(toys.countdown(), pool_size=0)


@pytest.mark.parametrize("obstacles", [False, True])
@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("layout", maze_map.LAYOUTS)
def test_the_point_touches_no_more_walls_than_its_model_has(layout, merge, obstacles):
    point_maze = pytest.importorskip("envs.mazes.point_maze")
    maze = maze_map.build(maze_map.LAYOUTS[layout], obstacles=obstacles, merge=merge)
    free = ".SG" if obstacles else ".SGo"
    rows, columns = np.array([[c in free for c in row] for row in maze.cells]).nonzero()
    corner = np.stack([columns - len(maze.cells[0]) / 2, len(maze.cells) / 2 - rows - 1], axis=1)
    inside = np.stack(np.meshgrid(*[np.linspace(0.005, 0.995, 25)] * 2), axis=-1).reshape(-1, 2)
    point = (corner[:, None] + inside).reshape(-1, 1, 2)
    gap = np.maximum(maze.walls[:, :2] - point, point - maze.walls[:, 2:]).clip(0)
    touching = (np.square(gap).sum(axis=-1) < max(point_maze.CONTACT_RADIUS.values()) ** 2).sum(1)
    assert 0 < touching.max() <= point_maze.TOUCHABLE_WALLS
