"""The point mazes stepped by C MuJoCo, against the reference's recorded episodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.mazes import maze_map
from envs.mazes.point_maze import make_point_maze
from tests.support import reference

FILES = {"authors": "pointmaze_authors", "farama": "pointmaze"}  # both made with MuJoCo 3.17
each_dynamics = pytest.mark.parametrize("dynamics", FILES)


@each_dynamics
@pytest.mark.parametrize("layout", maze_map.LAYOUTS)
def test_open_loops_are_the_references(layout, dynamics):
    """Walls push as they do there, up to rounding: the sphere has the contact margins here."""
    data = reference.load(FILES[dynamics])
    obs, actions = data[f"{layout}_obstacles_obs"], data[f"{layout}_obstacles_action"]
    asked = {"obstacles": True, "merge_walls": False, "dynamics": dynamics}
    task = make_point_maze(layout, **asked, contacts_of="3.17", impl="c")
    first = task.reset(jax.random.key(0))

    bits = np.tile(np.asarray(first.sim.bits).view(np.float64), (len(obs), 1))
    bits[:, 1:5] = obs[:, 0]

    def play(bits: jax.Array, actions: jax.Array) -> jax.Array:
        sim = first.sim._replace(bits=bits)
        return jax.lax.scan(lambda sim, action: task.step(sim, action)[:2], sim, actions)[1]

    ours = jax.jit(jax.vmap(play))(bits.view(np.uint32), jnp.float32(actions))
    error = np.abs(ours - obs[:, 1:])  # NaN after an episode's end
    print(f"{layout} {dynamics}: {np.nanmax(error):.1e}")
    assert np.nanmax(error) < 1e-6


@each_dynamics
def test_each_environment_plays_its_own_map(dynamics):
    rows = [["#####", "#S.G#", "#####"], ["#####", "#S#G#", "#####"]]
    mazes = envs.make("point_mazes", layouts=rows, dynamics=dynamics, impl="c")
    state = jax.jit(mazes.reset)(jax.random.split(jax.random.key(0), 4))
    step = jax.jit(mazes.step)
    for _ in range(20):
        state = step(state, jnp.tile(jnp.array([1.0, 0.0]), (4, 1)))
    x = state.info["terminal_obs"][:, 0]
    np.testing.assert_array_equal(x[:2], x[2:])
    assert x[1] < -0.55 < x[0]
