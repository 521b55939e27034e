"""The point mazes on C MuJoCo: a model for each map, with all its walls."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from envs.batching import TaskStep
from envs.engines.c_engine import Simulator, compile_for_c, controls_and_numbers, on_host
from envs.locomotion.c_task import CSim
from envs.mazes import maze_map
from envs.mazes.maze_map import Arena, Dynamics, Maze
from envs.mazes.point_model import FRAME_SKIP, MAX_SPEED, RADIUS, model_xml

Step = Callable[[tuple[Arena, jax.Array], CSim, jax.Array], TaskStep]
VELOCITY = slice(3, 5)  # of a state, after the time and the position


def make_functions(
    mazes: Sequence[Maze], reward: str, dynamics: Dynamics, radius: float
) -> tuple[Callable[[jax.Array], TaskStep], Step]:
    """Make the reset and the step of M mazes with the same start and cells as large.

    radius: of contact, m. step: ((arena, number of the maze), sim, action [2]).
    """
    models = [_model(maze, radius) for maze in mazes]
    simulator = Simulator(models, FRAME_SKIP[dynamics], ["xpos"])
    start, _ = simulator.start(mazes[0].start[None], np.zeros((1, 2)))
    first = jnp.asarray([*mazes[0].start, 0.0, 0.0], jnp.float32)
    size = start.shape[1]
    go = on_host(partial(MOVES[dynamics], simulator), (size, size), 6)
    pay = maze_map.make_payment(reward, mazes[0].half)

    def reset(key: jax.Array) -> TaskStep:
        return TaskStep(CSim(first[:2], jnp.asarray(start[0].view(np.uint32))), first)

    def step(variant: tuple[Arena, jax.Array], sim: CSim, action: jax.Array) -> TaskStep:
        arena, number = variant
        bits, out = go(sim.bits, jnp.append(action, number))
        obs, contact = out[:4], out[4:]
        goal, paid = pay(arena.goals, sim.qpos, obs[:2])
        crashed = (maze_map.touches(arena.walls, contact, RADIUS) & arena.fatal).any()
        return TaskStep(CSim(obs[:2], bits), obs, paid, (goal > 0) | crashed, goal=goal)

    return reset, step


def _model(maze: Maze, radius: float) -> mujoco.MjModel:
    spec = mujoco.MjSpec.from_string(model_xml(maze.walls, radius))
    spec.option.iterations, spec.option.ls_iterations = 100, 50  # MuJoCo's own
    return compile_for_c(spec, "gymnasium")


def _as_authors(
    simulator: Simulator, states: np.ndarray, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Take two physics steps, look, and limit the speed. inputs: [W, 3], action and number of the
    maze. -> states, and [W, 6], obs and where the point was when its contacts were computed."""
    after, seen = simulator.advance(states, *controls_and_numbers(inputs))
    obs = np.concatenate([seen.qpos, seen.qvel], axis=1)
    speed = np.abs(obs[:, 2:]).max(axis=1, keepdims=True)
    # MuJoCo lists the contacts of where a physics step began; to set a velocity lists them anew.
    contact = np.where(speed > MAX_SPEED, seen.qpos, seen.xpos[:, 1, :2])
    after[:, VELOCITY] *= MAX_SPEED / np.maximum(speed, MAX_SPEED)
    return after, np.concatenate([obs, contact], axis=1)


def _as_farama(
    simulator: Simulator, states: np.ndarray, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Limit each coordinate of the velocity, and take one physics step. As `_as_authors`."""
    limited = states.copy()
    limited[:, VELOCITY] = np.clip(states[:, VELOCITY], -MAX_SPEED, MAX_SPEED)
    after, seen = simulator.advance(limited, *controls_and_numbers(inputs))
    return after, np.concatenate([seen.qpos, seen.qvel, seen.xpos[:, 1, :2]], axis=1)


MOVES = {"authors": _as_authors, "farama": _as_farama}
