"""MultiGoalAntMaze: Gymnasium's ant in the multi-goal maps, on MJX."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from drac_jax.types import EnvSpec, Visual
from envs import mazes
from envs.locomotion import draw_state
from envs.mazes import Arena, Maze
from envs.physics import Fidelity, Impl, Physics, gymnasium_spec, make_physics, mjx
from envs.robots import ROBOTS
from envs.wrappers import Task, TaskStep, deal

ANT = ROBOTS["ant"](False)  # whose model, frame skip and initial noise it has
WALL_HALF_HEIGHT = 1.0  # m
SMALLEST_CELL = 0.6  # m: the torso is 0.5 across
NEAR_WALLS = 4  # boxes that the ant can touch at once: its legs reach 1.2 m from the torso
CONTACTS = 16  # kept in `fast`, of 125
WALL_NAME = "wall_{}"


class Sim(NamedTuple):
    """qpos: [15]; qvel, warmstart: [14]."""

    qpos: jax.Array
    qvel: jax.Array
    warmstart: jax.Array


def make_ant_maze(
    layout: str | Sequence[str] = "simple",
    reward: Literal["sparse", "dense"] = "sparse",
    obstacles: bool = False,
    cell_scale: float = 4.0,
    fidelity: Fidelity = "gymnasium",
    impl: Impl = "jax",
    max_steps: int | None = None,
) -> Task:
    """Make the ant maze task.

    obs: [29], all of qpos (15: x, y, z in m, the torso's quaternion, 8 angles in rad) and qvel
    (14: m/s and rad/s); action: [8], the motors. Five physics steps of 0.01 s per env step.
    reward: `sparse`, 100 on the torso's entering a goal cell, which terminates; `dense`, 10 x the
    decrease of its distance to the nearest goal (m) until then. It starts in the cell `S`, its
    joints and velocities drawn as Ant's. layout, obstacles: as for the point maze. cell_scale: the
    side of a cell in m; the reference implementation uses 1. fidelity, impl: as for the locomotion
    tasks, with 16 contacts in `fast`. max_steps: the map's own (150, 300, 600) times cell_scale
    unless given. Raises ValueError for what is none of these, and for cells too small for it.
    Source: MultiGoalAntMaze of DrAC (arXiv 2511.01374).
    """
    if cell_scale < SMALLEST_CELL:
        raise ValueError(
            f"cell_scale={cell_scale:g} is too small for the ant, whose torso is 0.5 m across; "
            f"use {SMALLEST_CELL} or more"
        )
    name, rows, limit = mazes.choose(layout, max_steps)
    if max_steps is None:
        limit = round(limit * cell_scale)
    maze = mazes.build(rows, cell_scale, obstacles)
    physics = _physics(len(maze.walls), fidelity, impl)
    arena = jax.tree.map(lambda x: x[0], mazes.stack([maze]))
    step = partial(make_step(physics, maze, reward), arena)
    variant = "_".join(["ant_maze", name, reward, fidelity] + ["obstacles"] * obstacles)
    spec = EnvSpec(variant, 29, 8, limit, len(maze.goals), maze.scene())
    visual = Visual(partial(_visible_model, maze), lambda sim: sim.qpos, physics.dt)
    return Task(spec, partial(_reset, physics.model, maze), step, visual)


def make_ant_mazes(
    layouts: Sequence[Sequence[str]],
    max_steps: int,
    reward: Literal["sparse", "dense"] = "sparse",
    cell_scale: float = 4.0,
    fidelity: Fidelity = "gymnasium",
    impl: Impl = "jax",
) -> Task:
    """Make one task of M ant mazes: environment i of a batch plays map i % M.

    layouts: [M] maps as rows, with the same start and numbers of cells and goals; all else as for
    `make_ant_maze`. One compiled step serves all maps. The scene is the first map's.
    """
    if not layouts:
        raise ValueError("layouts=[] must hold at least one map")
    built = [mazes.build(rows, cell_scale) for rows in layouts]
    arenas = mazes.stack(built)
    physics = _physics(arenas.walls.shape[1], fidelity, impl)
    name, goals = f"ant_mazes_{len(built)}_{reward}", len(built[0].goals)
    spec = EnvSpec(name, 29, 8, max_steps, goals, built[0].scene())
    step = make_step(physics, built[0], reward)
    return deal(spec, partial(_reset, physics.model, built[0]), step, arenas)


def ant_among(boxes: np.ndarray) -> mujoco.MjSpec:
    """Write the model of Gymnasium's ant among boxes [W, 4], (x_min, y_min, x_max, y_max)."""
    spec = gymnasium_spec(ANT.file)
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        spec.worldbody.add_geom(
            name=WALL_NAME.format(number),
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[(x0 + x1) / 2, (y0 + y1) / 2, WALL_HALF_HEIGHT],
            size=[(x1 - x0) / 2, (y1 - y0) / 2, WALL_HALF_HEIGHT],
            contype=1,
            conaffinity=1,  # the ant's own geoms have 0: they touch the world, not one another
        )
    return spec


def _physics(num_walls: int, fidelity: Fidelity, impl: Impl) -> Physics:
    unit = np.tile([-0.5, -0.5, 0.5, 0.5], (min(NEAR_WALLS, num_walls), 1))
    return make_physics(ant_among(unit), ANT.frame_skip, fidelity, impl, CONTACTS)


def _visible_model(maze: Maze) -> mujoco.MjModel:
    return ant_among(maze.walls).compile()


def _reset(model: mujoco.MjModel, maze: Maze, key: jax.Array) -> TaskStep:
    qpos, qvel = draw_state(ANT, model, key)
    return _told(Sim(qpos.at[:2].set(maze.start), qvel, jnp.zeros(model.nv)))


def _told(sim: Sim) -> TaskStep:
    return TaskStep(sim, jnp.concatenate([sim.qpos, sim.qvel]))


def make_step(
    physics: Physics, maze: Maze, reward: str
) -> Callable[[Arena, Sim, jax.Array], TaskStep]:
    """Make (arena, sim, action [8]) -> TaskStep, for all mazes with cells as large."""
    pay = mazes.make_payment(reward, maze.half)

    def step(arena: Arena, sim: Sim, action: jax.Array) -> TaskStep:
        here = with_walls(physics, arena.walls, sim.qpos[:2])
        data = physics.step(here, *sim, action)
        goal, paid = pay(arena.goals, sim.qpos[:2], data.qpos[:2])
        told = _told(Sim(data.qpos, data.qvel, data.qacc_warmstart))
        return told._replace(reward=paid, terminated=goal > 0, goal=goal)

    return step


def with_walls(physics: Physics, walls: jax.Array, position: jax.Array) -> mjx.Model:
    """Put the model's boxes where the walls [W, 4] nearest to a point [2] are: as in the point
    maze, the model has no more boxes than can be touched in one env step."""
    model = physics.model
    number = min(NEAR_WALLS, len(walls))
    boxes = np.array([model.geom(WALL_NAME.format(i)).id for i in range(number)])
    low, high = jnp.split(mazes.nearest_walls(walls, position, number), 2, axis=1)
    half = (high - low) / 2
    radius = jnp.sqrt(jnp.square(half).sum(axis=1) + WALL_HALF_HEIGHT**2)
    device = physics.on_device
    return device.replace(
        geom_pos=device.geom_pos.at[boxes, :2].set((low + high) / 2),
        geom_size=device.geom_size.at[boxes, :2].set(half),
        geom_rbound=device.geom_rbound.at[boxes].set(radius),
    )
