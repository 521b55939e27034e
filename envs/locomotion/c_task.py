"""The locomotion tasks on C MuJoCo: observed and paid in float64, as Gymnasium does it."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from envs.batching import TaskStep
from envs.engines.c_engine import NO_BITS, Simulator, on_host
from envs.engines.observables import Observables
from envs.engines.randomise import Plan
from envs.locomotion.robots import Robot, draw_state, judge, observe


class CSim(NamedTuple):
    """qpos: [Q], to look at; bits: [2 (S + 1)] uint32, of the simulator's state in float64 and of
    where Robot.x was after the last physics step, m."""

    qpos: jax.Array
    bits: jax.Array


def make_functions(
    robot: Robot, model: mujoco.MjModel, plan: Plan | None = None
) -> tuple[Callable[[jax.Array], TaskStep], Callable[..., TaskStep]]:
    """Make the reset and the step of a Task. With a plan of F factors, step takes them, too."""
    simulator = Simulator([model], robot.frame_skip, robot.reads, plan=plan)
    size, places = simulator.state_size + 1, model.nq
    _, first = _begin(robot, simulator, np.empty((1, 0)), np.zeros((1, places + model.nv)))
    begin = on_host(partial(_begin, robot, simulator), (0, size), first.shape[1])
    go = on_host(partial(_go, robot, simulator), (size, size), first.shape[1] + 2)

    def reset(key: jax.Array) -> TaskStep:
        bits, seen = begin(NO_BITS, jnp.concatenate(draw_state(robot, model, key)))
        return TaskStep(CSim(seen[:places], bits), seen[places:])

    def step(sim: CSim, action: jax.Array, *factors: jax.Array) -> TaskStep:
        bits, out = go(sim.bits, jnp.concatenate([action, *factors]) if factors else action)
        reward, terminated, seen = out[0], out[1] > 0, out[2:]
        return TaskStep(CSim(seen[:places], bits), seen[places:], reward, terminated)

    return reset, step


def _begin(
    robot: Robot, simulator: Simulator, _: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Begin W episodes. drawn: [W, Q + V]. -> states [W, S + 1], and [W, Q + O], qpos and obs."""
    states, seen = simulator.start(*np.split(drawn, [simulator.model.nq], axis=1))
    return _with_x(states, robot.x(simulator, seen)), _look(robot, seen)


def _go(
    robot: Robot, simulator: Simulator, rows: np.ndarray, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Step W environments. rows: [W, S + 1]; inputs: [W, A + F], actions in [-1, 1] and factors.
    -> rows, and [W, 2 + Q + O], reward, whether it terminated, qpos and obs."""
    action, factors = np.split(inputs.astype(np.float64), [simulator.model.nu], axis=1)
    low, high = simulator.model.actuator_ctrlrange.T
    # In this order nothing of an action gets lost where the range is [-1, 1].
    ctrl = (low + high) / 2 + (high - low) / 2 * action
    states, seen = simulator.advance(rows[:, :-1], ctrl, factors=factors)
    x, reward, healthy = judge(robot, simulator, rows[:, -1], ctrl, seen)
    outcome = np.stack([reward, ~healthy], axis=1)
    return _with_x(states, x), np.concatenate([outcome, _look(robot, seen)], axis=1)


def _with_x(states: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.concatenate([states, x[:, None]], axis=1)


def _look(robot: Robot, seen: Observables) -> np.ndarray:
    return np.concatenate([seen.qpos, *observe(robot, seen)], axis=1)
