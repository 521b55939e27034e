"""The contract that every environment keeps: autoreset, time limit, NaN guard, stable types."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import batch, make, mazes
from tests import toys

ENVS = {
    "multigoal": ("multigoal", {}),
    "multigoal_sparse": ("multigoal", {"reward": "sparse"}),
    "multigoal_euclidean_walls": ("multigoal", {"metric": "euclidean", "obstacles": True}),
    "point_maze": ("point_maze", {"layout": "simple"}),
}
ROOT = Path(__file__).resolve().parents[1]
NUM_ENVS = 3
each_env = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.heavy] * (n == "point_maze")) for n in ENVS]
)


def keys(seed: int = 0, number: int = NUM_ENVS) -> jax.Array:
    return jax.random.split(jax.random.key(seed), number)


@cache
def compiled(name: str):
    """Make an environment and compile its step once for all tests of NUM_ENVS."""
    kind, options = ENVS[name]
    env = make(kind, **options)
    return env, jax.jit(env.reset), jax.jit(env.step)


def actions(env, steps: int, scale: float = 1.0) -> jax.Array:
    shape = (steps, NUM_ENVS, env.spec.action_size)
    return jax.random.uniform(jax.random.key(1), shape, minval=-scale, maxval=scale)


def play(name: str, plan: jax.Array, seed: int = 0):
    _, reset, step = compiled(name)
    states = [reset(keys(seed))]
    for action in plan:
        states.append(step(states[-1], action))
    return states


def assert_same(left, right, atol: float = 0.0) -> None:
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


@each_env
def test_sizes_are_the_declared_ones(name):
    env, _, _ = compiled(name)
    state = play(name, actions(env, 1))[-1]
    assert state.obs.shape == state.info["terminal_obs"].shape == (NUM_ENVS, env.spec.obs_size)
    assert state.reward.shape == state.done.shape == (NUM_ENVS,)
    assert len(env.spec.scene.goals) == env.spec.num_goals


@each_env
def test_step_returns_the_types_it_was_given(name):
    env, _, _ = compiled(name)
    given = jax.eval_shape(env.reset, keys())
    returned = jax.eval_shape(env.step, given, actions(env, 1)[0])

    def types(tree):
        return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)

    assert types(returned) == types(given)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(given))


@each_env
def test_step_is_traced_once(name):
    env, _, step = compiled(name)
    play(name, actions(env, 4))
    assert step._cache_size() == 1


@each_env
def test_equal_keys_give_equal_trajectories(name):
    env, _, _ = compiled(name)
    plan = actions(env, 5)
    for one, other in zip(play(name, plan), play(name, plan), strict=True):
        assert_same((one.obs, one.reward, one.info), (other.obs, other.reward, other.info))


@each_env
def test_a_member_of_a_batch_is_the_environment_alone(name):
    env, _, _ = compiled(name)
    plan = actions(env, 8)
    states = play(name, plan)
    assert not any(state.done.any() for state in states)
    step = jax.jit(env.step)
    alone = env.reset(keys()[:1])
    for action, state in zip(plan, states[1:], strict=True):
        alone = step(alone, action[:1])
        assert_same(alone.obs, state.obs[:1], atol=1e-5)
        assert_same(alone.reward, state.reward[:1], atol=1e-4)


@each_env
def test_actions_are_clipped(name):
    env, _, _ = compiled(name)
    plan = actions(env, 3, scale=3.0)
    assert_same(play(name, plan)[-1].obs, play(name, jnp.clip(plan, -1.0, 1.0))[-1].obs)


@each_env
def test_the_time_limit_truncates_and_does_not_terminate(name):
    env, _, _ = compiled(name)
    states = play(name, jnp.zeros((env.spec.max_steps + 1, NUM_ENVS, env.spec.action_size)))
    done = np.array([state.done for state in states])
    truncation = np.array([state.info["truncation"] for state in states])
    assert done[env.spec.max_steps].all() and done.sum() == NUM_ENVS
    np.testing.assert_array_equal(done, truncation)
    assert (states[env.spec.max_steps].info["episode_length"] == env.spec.max_steps).all()
    assert (states[-1].info["episode_length"] == 1).all()


@each_env
def test_the_terminal_obs_is_before_autoreset_and_the_obs_after_it(name):
    env, reset, _ = compiled(name)
    plan = jnp.full((env.spec.max_steps, NUM_ENVS, env.spec.action_size), 0.01)
    states = play(name, plan)
    last = states[-1]
    assert last.done.all()
    assert_same(last.obs, reset(keys()).obs)
    drift = jnp.abs(last.info["terminal_obs"] - states[-2].obs).max()
    assert 0.0 < drift < 0.1


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


def test_an_empty_reset_pool_is_refused():
    with pytest.raises(ValueError, match="pool_size=0 must be at least 1"):
        batch(toys.countdown(), pool_size=0)


@pytest.mark.parametrize("obstacles", [False, True])
@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("layout", mazes.LAYOUTS)
def test_the_point_touches_no_more_walls_than_its_model_has(layout, merge, obstacles):
    point_maze = pytest.importorskip("envs.point_maze")
    maze = mazes.build(mazes.LAYOUTS[layout], obstacles=obstacles, merge=merge)
    free = ".SG" if obstacles else ".SGo"
    rows, columns = np.array([[c in free for c in row] for row in maze.cells]).nonzero()
    corner = np.stack([columns - len(maze.cells[0]) / 2, len(maze.cells) / 2 - rows - 1], axis=1)
    inside = np.stack(np.meshgrid(*[np.linspace(0.005, 0.995, 25)] * 2), axis=-1).reshape(-1, 2)
    point = (corner[:, None] + inside).reshape(-1, 1, 2)
    gap = np.maximum(maze.walls[:, :2] - point, point - maze.walls[:, 2:]).clip(0)
    touching = (np.square(gap).sum(axis=-1) < max(point_maze.CONTACT_RADIUS.values()) ** 2).sum(1)
    assert 0 < touching.max() <= point_maze.TOUCHABLE_WALLS
