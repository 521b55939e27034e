"""The ant mazes on C MuJoCo: a model for each map, with all its walls."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from envs.batching import TaskStep
from envs.engines.c_engine import Simulator, compile_for_c, controls_and_numbers, on_host
from envs.engines.mjx_engine import Fidelity
from envs.engines.observables import Observables
from envs.locomotion.c_task import CSim
from envs.mazes import maze_map
from envs.mazes.ant_model import ANT, WALL_NAME, ant_among
from envs.mazes.maze_map import Arena, Dynamics, Maze

Step = Callable[[tuple[Arena, jax.Array], CSim, jax.Array], TaskStep]


def make_functions(
    mazes: Sequence[Maze], reward: str, dynamics: Dynamics, fidelity: Fidelity, forces: bool
) -> tuple[Callable[[jax.Array], TaskStep], Step]:
    """Make the reset and the step of M mazes with the same start and cells as large.

    forces: observe contact forces, too. step: ((arena, number of the maze), sim, action [8]).
    """
    models = [compile_for_c(ant_among(maze.walls, dynamics), fidelity) for maze in mazes]
    fields = ["cfrc_ext"] if forces else []
    probe = _make_probe(mazes, models) if any(maze.fatal.any() for maze in mazes) else None
    simulator = Simulator(models, ANT.frame_skip, fields, probe)
    places = models[0].nq
    qpos = np.concatenate([mazes[0].start, models[0].qpos0[2:]])[None]
    start, seen = simulator.start(qpos, np.zeros((1, models[0].nv)))
    first = jnp.asarray(_look(simulator, seen)[0, 1:], jnp.float32)
    size = start.shape[1]
    go = on_host(partial(_go, simulator), (size, size), len(first) + 1)
    pay = maze_map.make_payment(reward, mazes[0].half)

    def reset(key: jax.Array) -> TaskStep:
        return TaskStep(CSim(first[:places], jnp.asarray(start[0].view(np.uint32))), first)

    def step(variant: tuple[Arena, jax.Array], sim: CSim, action: jax.Array) -> TaskStep:
        arena, number = variant
        bits, out = go(sim.bits, jnp.append(action, number))
        crashed, obs = out[0] > 0, out[1:]
        goal, paid = pay(arena.goals, sim.qpos[:2], obs[:2])
        return TaskStep(CSim(obs[:places], bits), obs, paid, (goal > 0) | crashed, goal=goal)

    return reset, step


def _go(
    simulator: Simulator, states: np.ndarray, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Step W ants. inputs: [W, 9], action and number of the maze. -> states, and [W, 1 + O],
    whether it touches a fatal wall, and obs."""
    after, seen = simulator.advance(states, *controls_and_numbers(inputs))
    return after, _look(simulator, seen)


def _look(simulator: Simulator, seen: Observables) -> np.ndarray:
    parts = [seen.probed[:, None], seen.qpos, seen.qvel]
    if simulator.fields:
        parts.append(np.clip(seen.cfrc_ext[:, 1:].reshape(len(seen.qpos), -1), -1.0, 1.0))
    return np.concatenate(parts, axis=1)


def _make_probe(
    mazes: Sequence[Maze], models: Sequence[mujoco.MjModel]
) -> Callable[[int, mujoco.MjData], float]:
    """Make (number of the maze, data) -> whether a fatal wall is overlapped."""
    fatal = [np.zeros(model.ngeom, bool) for model in models]
    for maze, model, is_fatal in zip(mazes, models, fatal, strict=True):
        for wall in np.flatnonzero(maze.fatal):
            is_fatal[model.geom(WALL_NAME.format(wall)).id] = True

    def probe(number: int, data: mujoco.MjData) -> float:
        contact = data.contact
        return float(fatal[number][contact.geom[contact.dist < 0.0]].any())

    return probe
