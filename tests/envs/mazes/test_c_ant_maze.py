"""The ant mazes stepped by C MuJoCo, beside its own loop over the same model."""

from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import envs
from envs.mazes import maze_map
from envs.mazes.ant_maze import make_ant_maze
from envs.mazes.ant_model import ANT, WALL_NAME, ant_among

ROOM = ["#####", "#SoG#", "#####"]
OPEN = ["#####", "#S.G#", "#####"]
STEPS = 60


def alone(maze: maze_map.Maze, dynamics: Any, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Play actions [T, 8] in C. -> obs [T, 107], and whether a fatal wall is overlapped [T]."""
    model = ant_among(maze.walls, dynamics).compile()
    boxes = [model.geom(WALL_NAME.format(i)).id for i in np.flatnonzero(maze.fatal)]
    data = mujoco.MjData(model)
    data.qpos[:2] = maze.start
    obs, crashed = [], []
    for action in actions:
        data.ctrl[:] = action
        mujoco.mj_step(model, data, ANT.frame_skip)
        mujoco.mj_rnePostConstraint(model, data)
        forces = np.clip(data.cfrc_ext[1:].ravel(), -1.0, 1.0)
        obs.append(np.concatenate([data.qpos, data.qvel, forces]))
        crashed.append(np.isin(data.contact.geom[data.contact.dist < 0.0], boxes).any())
    return np.float32(obs), np.array(crashed)


@pytest.mark.parametrize("dynamics", ["authors", "farama"])
def test_an_open_loop_is_that_of_c_and_obstacles_end_it(dynamics):
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 8)).astype(np.float32)
    asked = {"obstacles": True, "dynamics": dynamics}
    task = make_ant_maze(ROOM, **asked, contact_forces=True, cell_scale=1.5, impl="c")

    def step(sim: Any, action: jax.Array) -> tuple[Any, Any]:
        out = task.step(sim, action)
        return out.sim, out

    first = task.reset(jax.random.key(0))
    ours = jax.jit(lambda sim: jax.lax.scan(step, sim, jnp.asarray(actions))[1])(first.sim)
    obs, crashed = alone(maze_map.build(ROOM, 1.5, **asked), dynamics, actions)
    np.testing.assert_array_equal(ours.obs, obs)
    np.testing.assert_array_equal(ours.terminated, crashed | np.asarray(ours.goal > 0))
    assert crashed.any() == (dynamics == "authors")


def test_each_environment_plays_its_own_map():
    """The ant is pushed against the wall that only every other map has."""
    asked = {"obstacles": True, "cell_scale": 1.5, "impl": "c", "dynamics": "farama"}
    mazes = envs.make("ant_mazes", layouts=[ROOM, OPEN], **asked)
    keys, action = jax.random.split(jax.random.key(0), 4), jnp.ones((4, 8))
    state = jax.jit(mazes.step)(jax.jit(mazes.reset)(keys), action)
    for number, layout in enumerate([ROOM, OPEN]):
        one = envs.make("ant_maze", layout=layout, **asked)
        alone = jax.jit(one.step)(jax.jit(one.reset)(keys), action)
        np.testing.assert_array_equal(state.obs[number::2], alone.obs[number::2])
    assert not np.array_equal(state.obs[0], state.obs[1])
