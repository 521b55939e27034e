"""MultiGoalAntMaze: Gymnasium's ant (v5) in the multi-goal maps.

Its health ends nothing, and it starts without noise. With the dynamics `authors` (default) an
obstacle wall that any part of the ant touches ends the episode, and contact margins are those of
MuJoCo 3.1.6; with `farama` obstacle walls are plain walls and margins are those of 3.17.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from drac_jax.types import EnvSpec, Visual
from envs.batching import Task, TaskStep, deal
from envs.engines.mjx_engine import (
    Asked,
    Fidelity,
    Impl,
    Physics,
    Room,
    engine_for,
    make_physics,
    mjx,
)
from envs.mazes import maze_map
from envs.mazes.ant_model import ANT, WALL_HALF_HEIGHT, WALL_NAME, ant_among
from envs.mazes.maze_map import Arena, Dynamics, Maze

OBS_SIZE, FORCES_SIZE = 29, 78  # forces: 6 of each of 13 bodies
MAX_STEPS = 500
DT = 0.05  # s, of an env step
SMALLEST_CELL = 0.6  # m: the torso is 0.5 across
NEAR_WALLS = 4  # boxes that the ant can touch at once: its legs reach 1.2 m from the torso
CONTACTS = 16  # kept in `fast`, of 125
ROOM = Room(contacts=64, constraints=128)  # of 65 pairs of geoms; 8 limits and 30 contacts


class Sim(NamedTuple):
    """qpos: [15]; qvel, warmstart: [14]."""

    qpos: jax.Array
    qvel: jax.Array
    warmstart: jax.Array


def make_ant_maze(
    layout: str | Sequence[str] = "simple",
    reward: Literal["sparse", "dense"] = "dense",
    obstacles: bool = False,
    dynamics: Dynamics = "authors",
    contact_forces: bool = False,
    cell_scale: float = 4.0,
    fidelity: Fidelity = "gymnasium",
    impl: Asked = "auto",
    max_steps: int = MAX_STEPS,
) -> Task:
    """Make the ant maze task.

    obs: [29], all of qpos (15: x, y, z in m, the torso's quaternion, 8 angles in rad) and qvel
    (14: m/s and rad/s); action: [8], the motors. Five physics steps of 0.01 s per env step.
    reward: `sparse`, 100 on the torso's entering a goal cell, which terminates; `dense`, 10 x the
    decrease of its distance to the nearest goal (m) until then. It starts in the cell `S`, at rest.
    layout, obstacles: as for the point maze. dynamics: `authors` or `farama`, see this module.
    contact_forces: append the contact forces on each body, clipped to +-1 as in Ant-v5, to obs,
    [107]. cell_scale: the side of a cell in m; the reference implementation uses 1. fidelity, impl:
    as for the locomotion tasks, with 16 contacts in `fast`. max_steps: 500 for every map. Raises
    ValueError for what is none of these, and for cells too small for it.
    Source: MultiGoalAntMaze of DrAC (arXiv 2511.01374).
    """
    check_cell_scale(cell_scale)
    name, rows, max_steps = maze_map.choose(layout, max_steps)
    maze = maze_map.build(rows, cell_scale, obstacles, dynamics=dynamics)
    arenas = maze_map.stack([maze])
    engine = engine_for(impl, fidelity)
    reset, step, variants = _functions(
        [maze], arenas, reward, dynamics, contact_forces, fidelity, engine
    )
    words = ["ant_maze", name, reward, dynamics, fidelity]
    variant = "_".join(words + ["c"] * (engine == "c") + ["obstacles"] * obstacles)
    spec = _spec(variant, maze, max_steps, contact_forces, engine)
    visual = Visual(partial(_visible_model, maze), lambda sim: sim.qpos, DT)
    return Task(spec, reset, partial(step, jax.tree.map(lambda x: x[0], variants)), visual)


def make_ant_mazes(
    layouts: Sequence[Sequence[str]],
    max_steps: int = MAX_STEPS,
    reward: Literal["sparse", "dense"] = "dense",
    obstacles: bool = False,
    dynamics: Dynamics = "authors",
    contact_forces: bool = False,
    cell_scale: float = 4.0,
    fidelity: Fidelity = "gymnasium",
    impl: Asked = "auto",
) -> Task:
    """Make one task of M ant mazes: environment i of a batch plays map i % M.

    layouts: [M] maps as rows, with the same start and numbers of cells and goals; all else as for
    `make_ant_maze`. One compiled step serves all maps. The scene is the first map's.
    """
    if not layouts:
        raise ValueError("layouts=[] must hold at least one map")
    check_cell_scale(cell_scale)
    built = [maze_map.build(rows, cell_scale, obstacles, dynamics=dynamics) for rows in layouts]
    arenas = maze_map.stack(built)
    engine = engine_for(impl, fidelity)
    functions = _functions(built, arenas, reward, dynamics, contact_forces, fidelity, engine)
    name = f"ant_mazes_{len(built)}_{reward}_{dynamics}"
    return deal(_spec(name, built[0], max_steps, contact_forces, engine), *functions)


def _functions(
    mazes: Sequence[Maze],
    arenas: Arena,
    reward: str,
    dynamics: Dynamics,
    contact_forces: bool,
    fidelity: Fidelity,
    impl: Impl,
) -> tuple[Callable[[jax.Array], TaskStep], Callable[[Any, Any, jax.Array], TaskStep], Any]:
    """Make what `deal` takes: reset, step and variants."""
    maze_map.check_dynamics(dynamics)
    if impl == "c":
        from envs.mazes import c_ant_maze

        functions = c_ant_maze.make_functions(mazes, reward, dynamics, fidelity, contact_forces)
        return *functions, (arenas, jnp.arange(len(mazes)))
    physics = _physics(arenas.walls.shape[1], dynamics, fidelity, impl, contact_forces)
    step = make_step(physics, mazes[0], reward, contact_forces)
    return partial(_reset, physics, mazes[0], contact_forces), step, arenas


def check_cell_scale(cell_scale: float) -> None:
    """Raise ValueError for cells that the ant does not fit in."""
    if not cell_scale >= SMALLEST_CELL:
        raise ValueError(
            f"cell_scale={cell_scale:g} is too small for the ant, whose torso is 0.5 m across; "
            f"use {SMALLEST_CELL} or more"
        )


def _spec(name: str, maze: Maze, max_steps: int, contact_forces: bool, impl: Impl) -> EnvSpec:
    obs_size = OBS_SIZE + FORCES_SIZE * contact_forces
    return EnvSpec(name, obs_size, 8, max_steps, len(maze.goals), maze.scene(), impl == "c")


def _physics(
    num_walls: int, dynamics: Dynamics, fidelity: Fidelity, impl: Impl, contact_forces: bool
) -> Physics:
    if impl == "warp" and dynamics == "authors":
        raise ValueError(
            "impl='warp' does not tell which walls the ant touches; use 'jax', or dynamics='farama'"
        )
    unit = np.tile([-0.5, -0.5, 0.5, 0.5], (min(NEAR_WALLS, num_walls), 1))
    spec = ant_among(unit, dynamics, overlaps_only=impl == "jax")
    return make_physics(spec, ANT.frame_skip, fidelity, impl, CONTACTS, contact_forces, ROOM)


def _visible_model(maze: Maze) -> mujoco.MjModel:
    return ant_among(maze.walls).compile()


def _reset(physics: Physics, maze: Maze, contact_forces: bool, key: jax.Array) -> TaskStep:
    qpos = jnp.float32(physics.model.qpos0).at[:2].set(maze.start)
    still = jnp.zeros(physics.model.nv)
    forces = [jnp.zeros(FORCES_SIZE)] if contact_forces else []
    return TaskStep(Sim(qpos, still, still), jnp.concatenate([qpos, still, *forces]))


def make_step(
    physics: Physics, maze: Maze, reward: str, contact_forces: bool
) -> Callable[[Arena, Sim, jax.Array], TaskStep]:
    """Make (arena, sim, action [8]) -> TaskStep, for all mazes with cells as large."""
    pay = maze_map.make_payment(reward, maze.half)

    def step(arena: Arena, sim: Sim, action: jax.Array) -> TaskStep:
        number = min(NEAR_WALLS, len(arena.walls))
        near = maze_map.nearest_walls(arena.walls, sim.qpos[:2], number)
        data = physics.step(with_walls(physics, arena.walls[near]), *sim, action)
        goal, paid = pay(arena.goals, sim.qpos[:2], data.qpos[:2])
        forces = [jnp.clip(data._impl.cfrc_ext[1:].ravel(), -1.0, 1.0)] if contact_forces else []
        obs = jnp.concatenate([data.qpos, data.qvel, *forces])
        after = Sim(data.qpos, data.qvel, data.qacc_warmstart)
        crashed = touches(physics, data, arena.fatal[near]) if maze.fatal.any() else False
        return TaskStep(after, obs, paid, (goal > 0) | crashed, goal=goal)

    return step


def _wall_geoms(physics: Physics, number: int) -> np.ndarray:
    return np.array([physics.model.geom(WALL_NAME.format(i)).id for i in range(number)], int)


def _extra(physics: Physics) -> float:
    """Say by how much the model's boxes are larger than the walls, in m: see `ant_among`."""
    return physics.model.geom(WALL_NAME.format(0)).size[2] - WALL_HALF_HEIGHT


def touches(physics: Physics, data: mjx.Data, fatal: jax.Array) -> jax.Array:
    """Say whether the ant overlaps a fatal wall. fatal: [N] bool, of the model's boxes. Contacts
    are those of the start of the last physics step, as MuJoCo lists them after a step."""
    is_fatal = jnp.zeros(physics.model.ngeom, bool).at[_wall_geoms(physics, len(fatal))].set(fatal)
    contact = data._impl.contact
    overlaps = contact.dist < -_extra(physics)
    return (is_fatal[contact.geom].any(axis=-1) & overlaps).any()


def with_walls(physics: Physics, walls: jax.Array) -> mjx.Model:
    """Put the model's boxes where the walls [N, 4] are, those that are nearest to the ant: as in
    the point maze, the model has no more boxes than can be touched in one env step."""
    boxes = _wall_geoms(physics, len(walls))
    low, high = jnp.split(walls, 2, axis=1)
    extra = _extra(physics)
    half = (high - low) / 2 + extra
    radius = jnp.sqrt(jnp.square(half).sum(axis=1) + (WALL_HALF_HEIGHT + extra) ** 2)
    device = physics.on_device
    return device.replace(
        geom_pos=device.geom_pos.at[boxes, :2].set((low + high) / 2),
        geom_size=device.geom_size.at[boxes, :2].set(half),
        geom_rbound=device.geom_rbound.at[boxes].set(radius),
    )
