"""The ant among walls, beside C MuJoCo."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from envs.mazes import maze_map
from envs.mazes.ant_maze import Sim, make_ant_maze
from envs.mazes.ant_model import ANT, WALL_NAME, ant_among

pytestmark = pytest.mark.slow  # compiles an ant among walls

ROOM = ["#####", "#SoG#", "#####"]
CELL = 4.0  # m
ABOVE = 2.9  # m: an ant at this height falls onto a wall, whose top is at 2
STEPS = 12


def fall(model: mujoco.MjModel, place: np.ndarray, box: int) -> tuple[np.ndarray, np.ndarray]:
    """Let the ant fall in C MuJoCo. -> its heights, and whether it overlaps a box, step by step."""
    data = mujoco.MjData(model)
    data.qpos[:3] = [*place, ABOVE]
    heights, overlaps = np.zeros(STEPS), np.zeros(STEPS, bool)
    for step in range(STEPS):
        mujoco.mj_step(model, data, ANT.frame_skip)
        touching = data.contact.geom[data.contact.dist < 0.0]
        overlaps[step] = (touching == model.geom(WALL_NAME.format(box)).id).any()
        heights[step] = data.qpos[2]
    return heights, overlaps


def test_an_ant_that_lands_on_an_obstacle_ends_its_episode():
    """It lands as in C MuJoCo, up to 0.2 mm; on a plain wall it lives on."""
    maze = maze_map.build(ROOM, CELL, obstacles=True)
    centres = maze.walls.reshape(-1, 2, 2).mean(axis=1)
    (obstacle,) = np.flatnonzero(maze.fatal)
    plain = np.abs(centres - centres[obstacle]).sum(axis=1).argmax()
    task = make_ant_maze(ROOM, obstacles=True, cell_scale=CELL, impl="jax")

    def play(place: jax.Array) -> tuple[jax.Array, jax.Array]:
        first = task.reset(jax.random.key(0)).sim
        sim = first._replace(qpos=first.qpos.at[:3].set(jnp.append(place, ABOVE)))

        def step(sim: Sim, _: None) -> tuple[Sim, tuple]:
            out = task.step(sim, jnp.zeros(8))
            return out.sim, (out.sim.qpos[2], jnp.asarray(out.terminated))

        return jax.lax.scan(step, sim, None, STEPS)[1]

    model = ant_among(maze.walls).compile()
    heights, ended = jax.jit(jax.vmap(play))(jnp.float32(centres[[obstacle, plain]]))
    for ours, box in zip(heights, (obstacle, plain), strict=True):
        theirs, overlaps = fall(model, centres[box], box)
        assert overlaps.any()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-3)
    np.testing.assert_array_equal(ended[0], fall(model, centres[obstacle], obstacle)[1])
    assert not ended[1].any()
