"""MultiGoalPointMaze: the Gymnasium-Robotics point in the multi-goal maps, on MJX."""

import contextlib
import io
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import mujoco

from drac_jax.types import EnvSpec
from envs import mazes
from envs.wrappers import Task, TaskStep

with contextlib.redirect_stdout(io.StringIO()):  # it prints that NVIDIA's warp is not there
    from mujoco import mjx

MASS = 4.18879020478639  # kg: a sphere of radius 0.1 and density 1000
MAX_SPEED = 5.0  # of each coordinate, applied before a step
ARRIVAL_REWARD = 100.0
PROGRESS_SCALE = 10.0  # of the dense reward
# MuJoCo 3.17 adds the margins (0.002 each) of point and wall, 3.1.6 took the larger; MJX ignores
# margins between sphere and box, so the sphere carries them: the contact is then the same.
CONTACT_RADIUS = {"3.17": 0.104, "3.1.6": 0.102}
NEAREST_WALLS = 4  # contacts kept: a point in a unit cell touches at most that many boxes
SOLVER_ITERATIONS = 4

XML = """
<mujoco>
  <compiler autolimits="true"/>
  <option timestep="0.01" integrator="Euler" gravity="0 0 0" iterations="{iterations}"/>
  <custom>{culling}</custom>
  <default><geom condim="1" margin="0"/></default>
  <worldbody>
    <body name="point">
      <joint name="x" type="slide" axis="1 0 0" damping="1"/>
      <joint name="y" type="slide" axis="0 1 0" damping="1"/>
      <geom name="point" type="sphere" size="{radius}" mass="{mass}"
            contype="1" conaffinity="2"/>
    </body>
{walls}
  </worldbody>
  <actuator>
    <motor joint="x" gear="100" ctrllimited="true" ctrlrange="-1 1"/>
    <motor joint="y" gear="100" ctrllimited="true" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""
WALL = '    <geom type="box" pos="{x} {y} 0" size="{w} {h} 1" contype="2" conaffinity="1"/>'
CULLING = (
    f'<numeric name="max_geom_pairs" data="{NEAREST_WALLS}"/>'
    f'<numeric name="max_contact_points" data="{NEAREST_WALLS}"/>'
)


def make_point_maze(
    layout: str = "simple",
    reward: Literal["sparse", "dense"] = "sparse",
    obstacles: bool = False,
    merge_walls: bool = True,
    cull_contacts: bool = True,
    contacts_of: Literal["3.17", "3.1.6"] = "3.17",
) -> Task:
    """Make the point maze task.

    obs: [4], (x, y, vx, vy) in cells and cells/s; action: [2], the motors of x and y. One physics
    step of 0.01 s per env step. reward: `sparse`, 100 on entering a goal cell, which terminates;
    `dense`, 10 x the decrease of the distance to the nearest goal until then. The start is fixed.
    obstacles: the map's `o` cells are walls. merge_walls: long boxes, which have no ghost corners
    at the seams of cells (the original has). cull_contacts: only the four nearest boxes.
    contacts_of: the MuJoCo version whose contact margins are followed.
    Source: MultiGoalPointMaze of DrAC (arXiv 2511.01374), after Gymnasium-Robotics.
    """
    if reward not in ("sparse", "dense"):
        raise ValueError(f"reward={reward!r} is unknown; use 'sparse' or 'dense'")
    maze = mazes.build(mazes.find(layout), obstacles=obstacles, merge=merge_walls)
    physics = _physics(maze, cull_contacts, CONTACT_RADIUS[contacts_of])
    goals = jnp.asarray(maze.goals, jnp.float32)

    def reset(key: jax.Array) -> TaskStep:
        start = jnp.concatenate([jnp.asarray(maze.start, jnp.float32), jnp.zeros(2)])
        return TaskStep(sim=start, obs=start)

    def step(state: jax.Array, action: jax.Array) -> TaskStep:
        after = physics(state, action)
        entered = jnp.abs(after[:2] - goals).max(axis=-1) <= maze.half
        reached = entered.any()
        goal = jnp.where(reached, jnp.argmax(entered) + 1, 0)
        progress = _nearest(goals, state[:2]) - _nearest(goals, after[:2])
        otherwise = PROGRESS_SCALE * progress if reward == "dense" else 0.0
        paid = jnp.where(reached, ARRIVAL_REWARD, otherwise)
        return TaskStep(after, after, paid, terminated=reached, goal=goal)

    name = "_".join(["point_maze", layout, reward] + ["obstacles"] * obstacles)
    spec = EnvSpec(name, 4, 2, mazes.MAX_STEPS[layout], len(goals), maze.scene())
    return Task(spec, reset, step)


def _nearest(goals: jax.Array, position: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.square(goals - position).sum(axis=-1)).min()


def model_xml(maze: mazes.Maze, cull_contacts: bool, radius: float) -> str:
    """Write the MuJoCo model of a point in a maze. radius: of contact, m."""
    walls = [
        WALL.format(x=(x0 + x1) / 2, y=(y0 + y1) / 2, w=(x1 - x0) / 2, h=(y1 - y0) / 2)
        for x0, y0, x1, y1 in maze.walls
    ]
    return XML.format(
        iterations=SOLVER_ITERATIONS if cull_contacts else 100,
        culling=CULLING if cull_contacts else "",
        radius=radius,
        mass=MASS,
        walls="\n".join(walls),
    )


def _physics(
    maze: mazes.Maze, cull_contacts: bool, radius: float
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Make one physics step on the state that matters: (x, y, vx, vy)."""
    model = mujoco.MjModel.from_xml_string(model_xml(maze, cull_contacts, radius))
    mjx_model = mjx.put_model(model)
    blank = mjx.make_data(model)

    def step(state: jax.Array, action: jax.Array) -> jax.Array:
        # Slide joints measure from the body's place in the model, the origin of the map.
        velocity = jnp.clip(state[2:], -MAX_SPEED, MAX_SPEED)
        data = blank.replace(qpos=state[:2], qvel=velocity, ctrl=jnp.clip(action, -1.0, 1.0))
        with jax.default_matmul_precision("highest"):
            data = mjx.step(mjx_model, data)
        return jnp.concatenate([data.qpos, data.qvel])

    return step
