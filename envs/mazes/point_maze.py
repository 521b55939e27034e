"""MultiGoalPointMaze: a point in the multi-goal maps, with one of two dynamics.

`authors` (default), what the paper's numbers were made with: an env step is two physics steps
(0.02 s); then the observation is read; then the velocity is scaled down to a largest coordinate of
5 cells/s. Touching an obstacle wall ends the episode. Contacts are those of MuJoCo 3.1.6.
`farama`, that of gymnasium-robotics 1.4.2: each coordinate of the velocity is clipped to 5 cells/s;
then one physics step (0.01 s). Obstacle walls are plain walls. Contacts are those of MuJoCo 3.17.
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
from envs.engines.mjx_engine import Impl, mjx
from envs.locomotion.c_task import CSim
from envs.mazes import maze_map
from envs.mazes.maze_map import Arena, Dynamics, Maze
from envs.mazes.point_model import (
    CONTACT_RADIUS,
    CONTACTS_OF,
    FRAME_SKIP,
    MAX_SPEED,
    RADIUS,
    TIMESTEP,
    Contacts,
    model_xml,
)

POINT_COLOUR, GOAL_COLOUR, FLOOR_COLOUR = (1, 0.1, 0, 1), (0.2, 0.7, 0.4, 1), (0.7, 0.7, 0.7, 1)
# Walls that the point can touch at once: those around one corner of its cell.
TOUCHABLE_WALLS = 3
UNIT_BOX = [-0.5, -0.5, 0.5, 0.5]

Physics = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


class Motion(NamedTuple):
    """What an env step does to a point.

    obs: [4], (x, y, vx, vy) as it is seen; state: [4], what the next step starts from; contact:
    [2], where the point was when its contacts were computed last.
    """

    obs: jax.Array
    state: jax.Array
    contact: jax.Array


def make_point_maze(
    layout: str | Sequence[str] = "simple",
    reward: Literal["sparse", "dense"] = "sparse",
    obstacles: bool = False,
    merge_walls: bool = True,
    dynamics: Dynamics = "authors",
    contacts_of: Contacts | None = None,
    max_steps: int | None = None,
    impl: Impl = "jax",
) -> Task:
    """Make the point maze task.

    obs: [4], (x, y, vx, vy) in cells and cells/s; action: [2], the motors of x and y. reward:
    `sparse`, 100 on entering a goal cell, which terminates; `dense`, 10 x the decrease of the
    distance to the nearest goal until then. The start is fixed. layout: the name of a map, or the
    rows of one's own. obstacles: the map's `o` cells are walls. merge_walls: long boxes, which have
    no ghost corners at the seams of cells (the original has). dynamics: `authors` or `farama`, see
    this module. contacts_of: the MuJoCo version whose contact margins are followed, that of the
    dynamics unless given. max_steps: the map's own unless given, 500 for rows of one's own. impl:
    `jax`, or `c` for CPUs. Raises ValueError for what is none of these.
    Source: MultiGoalPointMaze of DrAC (arXiv 2511.01374), after Gymnasium-Robotics.
    """
    name, rows, max_steps = maze_map.choose(layout, max_steps)
    maze = maze_map.build(rows, obstacles=obstacles, merge=merge_walls, dynamics=dynamics)
    reset, step, variants = _functions([maze], reward, dynamics, contacts_of, impl)
    dt = TIMESTEP * FRAME_SKIP[dynamics]
    visual = Visual(partial(_visible_model, maze), _position, dt)
    variant = "_".join(["point_maze", name, reward, dynamics] + ["obstacles"] * obstacles)
    step = partial(step, jax.tree.map(lambda x: x[0], variants))
    return Task(_spec(variant, maze, max_steps, impl), reset, step, visual)


def make_point_mazes(
    layouts: Sequence[Sequence[str]],
    max_steps: int = maze_map.OWN_MAX_STEPS,
    reward: Literal["sparse", "dense"] = "sparse",
    obstacles: bool = False,
    merge_walls: bool = True,
    dynamics: Dynamics = "authors",
    contacts_of: Contacts | None = None,
    impl: Impl = "jax",
) -> Task:
    """Make one task of M point mazes: environment i of a batch plays map i % M.

    layouts: [M] maps as rows, with the same start and numbers of cells and goals; all else as for
    `make_point_maze`. One compiled step serves all maps. The scene is the first map's.
    """
    if not layouts:
        raise ValueError("layouts=[] must hold at least one map")
    built = [
        maze_map.build(rows, obstacles=obstacles, merge=merge_walls, dynamics=dynamics)
        for rows in layouts
    ]
    functions = _functions(built, reward, dynamics, contacts_of, impl)
    spec = _spec(f"point_mazes_{len(built)}_{reward}_{dynamics}", built[0], max_steps, impl)
    return deal(spec, *functions)


def _functions(
    mazes: Sequence[Maze], reward: str, dynamics: Dynamics, contacts_of: Contacts | None, impl: Impl
) -> tuple[Callable[[jax.Array], TaskStep], Callable[[Any, Any, jax.Array], TaskStep], Any]:
    """Make what `deal` takes: reset, step and variants."""
    if impl not in ("jax", "c"):
        raise ValueError(f"impl={impl!r} does not step the point mazes; use 'jax' or 'c'")
    version = contacts_of or CONTACTS_OF[dynamics]
    if version not in CONTACT_RADIUS:
        raise ValueError(f"contacts_of={contacts_of!r} is unknown; use '3.17' or '3.1.6'")
    arenas = maze_map.stack(mazes)
    if impl == "c":
        from envs.mazes import c_point_maze

        functions = c_point_maze.make_functions(mazes, reward, dynamics, CONTACT_RADIUS[version])
        return *functions, (arenas, jnp.arange(len(mazes)))
    step = _make_step(mazes[0], arenas.walls.shape[1], reward, dynamics, CONTACT_RADIUS[version])
    return partial(_reset, mazes[0]), step, arenas


def _position(sim: Any) -> jax.Array:
    return sim.qpos if isinstance(sim, CSim) else sim[:2]


def _spec(name: str, maze: Maze, max_steps: int, impl: Impl) -> EnvSpec:
    return EnvSpec(name, 4, 2, max_steps, len(maze.goals), maze.scene(), impl == "c")


def _reset(maze: Maze, key: jax.Array) -> TaskStep:
    start = jnp.asarray([*maze.start, 0.0, 0.0], jnp.float32)
    return TaskStep(sim=start, obs=start)


def _make_step(
    maze: Maze, num_walls: int, reward: str, dynamics: Dynamics, radius: float
) -> Callable[[Arena, jax.Array, jax.Array], TaskStep]:
    """Make (arena, state [4], action [2]) -> TaskStep, for all mazes with cells as large."""
    pay = maze_map.make_payment(reward, maze.half)
    move = MOVES[dynamics]
    physics = make_physics(num_walls, radius)

    def step(arena: Arena, state: jax.Array, action: jax.Array) -> TaskStep:
        motion = move(partial(physics, arena.walls), state, action)
        goal, paid = pay(arena.goals, state[:2], motion.obs[:2])
        crashed = (maze_map.touches(arena.walls, motion.contact, RADIUS) & arena.fatal).any()
        return TaskStep(motion.state, motion.obs, paid, (goal > 0) | crashed, goal=goal)

    return step


def move_as_authors(
    physics: Callable[[jax.Array, jax.Array], jax.Array], state: jax.Array, action: jax.Array
) -> Motion:
    """Take two physics steps, look, and limit the speed. state: [4]; action: [2]."""
    # A scan compiles the physics once.
    after, starts = jax.lax.scan(
        lambda now, _: (physics(now, action), now), state, None, FRAME_SKIP["authors"]
    )
    speed = jnp.abs(after[2:]).max()
    scale = MAX_SPEED / jnp.maximum(speed, MAX_SPEED)
    # MuJoCo lists the contacts of where a physics step began; to set a velocity lists them anew.
    contact = jnp.where(speed > MAX_SPEED, after[:2], starts[-1, :2])
    return Motion(after, jnp.concatenate([after[:2], scale * after[2:]]), contact)


def move_as_farama(
    physics: Callable[[jax.Array, jax.Array], jax.Array], state: jax.Array, action: jax.Array
) -> Motion:
    """Limit each coordinate of the velocity, and take one physics step. state: [4]; action: [2]."""
    limited = jnp.clip(state[2:], -MAX_SPEED, MAX_SPEED)
    after = physics(jnp.concatenate([state[:2], limited]), action)
    return Motion(after, after, state[:2])


MOVES = {"authors": move_as_authors, "farama": move_as_farama}


def _visible_model(maze: maze_map.Maze) -> mujoco.MjModel:
    """Make the model that is drawn: with a floor, goals, colours and low walls."""
    spec = mujoco.MjSpec.from_string(model_xml(maze.walls, RADIUS))
    spec.visual.headlight.ambient = spec.visual.headlight.diffuse = [0.5, 0.5, 0.5]
    spec.geom("point").rgba = POINT_COLOUR
    for wall in spec.worldbody.geoms:
        wall.size[2] = 2 * RADIUS
    _, x_max, _, y_max = maze.scene().bounds  # the map's centre is the origin
    add_box = partial(spec.worldbody.add_geom, type=mujoco.mjtGeom.mjGEOM_BOX)
    add_box(pos=[0, 0, -2 * RADIUS], size=[x_max, y_max, RADIUS / 2], rgba=FLOOR_COLOUR)
    for x, y in maze.goals:
        add_box(pos=[x, y, -RADIUS], size=[maze.half, maze.half, 0.01], rgba=GOAL_COLOUR)
    return spec.compile()


def make_physics(num_walls: int, radius: float) -> Physics:
    """Make one physics step, (walls [W, 4], state [4], action [2]) -> state (x, y, vx, vy).

    The model has only as many boxes as the point can touch, and each step puts them where the
    nearest walls are. MJX's own culling ranks boxes by their bounding spheres, so a long box far
    away can displace the one that is touched.
    """
    num_boxes = min(TOUCHABLE_WALLS, num_walls)
    model = mujoco.MjModel.from_xml_string(model_xml(np.tile(UNIT_BOX, (num_boxes, 1)), radius))
    mjx_model, blank = mjx.put_model(model), mjx.make_data(model)

    def step(walls: jax.Array, state: jax.Array, action: jax.Array) -> jax.Array:
        # Slide joints measure from the body's place in the model, the origin of the map.
        nearest = maze_map.nearest_walls(walls, state[:2], num_boxes)
        low, high = jnp.split(walls[nearest], 2, axis=1)
        # The geoms of the world body come first: the boxes, then the point.
        here = mjx_model.replace(
            geom_pos=mjx_model.geom_pos.at[:num_boxes, :2].set((low + high) / 2),
            geom_size=mjx_model.geom_size.at[:num_boxes, :2].set((high - low) / 2),
        )
        data = blank.replace(qpos=state[:2], qvel=state[2:], ctrl=jnp.clip(action, -1.0, 1.0))
        with jax.default_matmul_precision("highest"):  # no TF32, which moves contacts
            data = mjx.step(here, data)
        return jnp.concatenate([data.qpos, data.qvel])

    return step
