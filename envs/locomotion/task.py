"""Gymnasium's MuJoCo locomotion tasks: the same model, observation, reward, termination.

`robots` describes each: observation, units, reward terms. version: `v4` (the paper's) or `v5`.
fidelity: `gymnasium` is for parity with C MuJoCo: the model's integrator, Newton converged, all
contacts. `fast` is for thousands of environments: Euler, 4 Newton iterations with 8 line search
steps, and, with the engine `jax`, only the deepest contacts. impl: `jax`, MJX's own engine; `warp`,
NVIDIA's, for its GPUs (extra `warp`); `c`, MuJoCo itself, for CPUs, with which `gymnasium` is
Gymnasium's physics bit for bit; `auto`, that on a CPU for `gymnasium`, and else `jax`. xml_file: a
model of one's own with the same joints and motors. randomise: ranges of factors, drawn for every
episode (see `engines.randomise`); Humanoid is paid for the centre of the masses as they are in the
model. action_repeat: env steps of Gymnasium's that one of ours is.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import mujoco

from drac_jax.types import EnvSpec, Visual
from envs.batching import Task, TaskStep, repeat
from envs.engines import inertia
from envs.engines.mjx_engine import (
    Asked,
    Fidelity,
    Impl,
    Physics,
    Room,
    engine_for,
    gymnasium_spec,
    look,
    make_physics,
    mjx,
    user_spec,
)
from envs.engines.randomise import (
    Plan,
    Ranges,
    draw_each_episode,
    make_plan,
    refuse_ranges_on,
)
from envs.locomotion.robots import ROBOTS, Robot, draw_state, judge, observe

MAX_STEPS = 1000


class Sim(NamedTuple):
    """qpos: [Q]; qvel, warmstart: [V]; x: where Robot.x was after the last physics step, m."""

    qpos: jax.Array
    qvel: jax.Array
    warmstart: jax.Array
    x: jax.Array


def make_locomotion(
    name: str,
    version: Literal["v4", "v5"] = "v4",
    fidelity: Fidelity = "gymnasium",
    impl: Asked = "auto",
    xml_file: str | None = None,
    randomise: Ranges | None = None,
    action_repeat: int = 1,
) -> Task:
    """Make the task of a robot in ROBOTS, whose docstrings list observation and reward.

    The options are this module's. Raises ValueError for what is none of them, for a file that is
    not a model or that MJX cannot take, and for an engine that is not there.
    """
    if version not in ("v4", "v5"):
        raise ValueError(f"version={version!r} is unknown; use 'v4' or 'v5'")
    robot = ROBOTS[name](version == "v5")
    spec = user_spec(xml_file) if xml_file else gymnasium_spec(robot.file)
    engine = engine_for(impl, fidelity)
    if engine == "c":
        task = _on_c(name, version, fidelity, robot, spec, randomise or {})
    else:
        room = None if xml_file else robot.room
        task = _on_mjx(name, version, fidelity, robot, spec, randomise or {}, engine, room)
    return repeat(task, action_repeat)


def _on_mjx(
    name: str,
    version: str,
    fidelity: Fidelity,
    robot: Robot,
    spec: mujoco.MjSpec,
    ranges: Ranges,
    engine: Impl,
    room: Room | None,
) -> Task:
    refuse_ranges_on(engine, ranges)
    contacts, forces = robot.contacts, robot.contact_forces
    physics = make_physics(spec, robot.frame_skip, fidelity, engine, contacts, forces, room)
    first = jax.eval_shape(partial(_reset, robot, physics), jax.random.key(0))
    size, motors = first.obs.shape[0], physics.model.nu
    env_spec = EnvSpec(f"{name}_{version}_{fidelity}", size, motors, MAX_STEPS)
    visual = Visual(lambda: physics.model, lambda sim: sim.qpos, physics.dt)
    step = partial(_step, robot, physics)
    task = Task(env_spec, partial(_reset, robot, physics), step, visual)
    plan = make_plan(ranges, physics.model)
    return task if plan is None else _randomised(task, robot, physics, plan)


def _randomised(task: Task, robot: Robot, physics: Physics, plan: Plan) -> Task:
    multiplied = inertia.on_mjx(plan, physics.model)

    def step(sim: Sim, action: jax.Array, factors: jax.Array) -> TaskStep:
        here = multiplied(physics.on_device, factors)
        return _step(robot, physics._replace(on_device=here), sim, action)

    return draw_each_episode(task, plan, step)


def _on_c(
    name: str,
    version: str,
    fidelity: Fidelity,
    robot: Robot,
    spec: mujoco.MjSpec,
    ranges: Ranges,
) -> Task:
    from envs.engines.c_engine import compile_for_c
    from envs.locomotion import c_task

    model = compile_for_c(spec, fidelity)
    plan = make_plan(ranges, model)
    reset, step = c_task.make_functions(robot, model, plan)
    size = jax.eval_shape(reset, jax.random.key(0)).obs.shape[0]
    env_spec = EnvSpec(
        f"{name}_{version}_{fidelity}_c", size, model.nu, MAX_STEPS, host_callback=True
    )
    visual = Visual(lambda: model, lambda sim: sim.qpos, model.opt.timestep * robot.frame_skip)
    task = Task(env_spec, reset, step, visual)
    return task if plan is None else draw_each_episode(task, plan, step)


def _reset(robot: Robot, physics: Physics, key: jax.Array) -> TaskStep:
    qpos, qvel = draw_state(robot, physics.model, key)
    data = physics.place(qpos, qvel)
    seen = look(data)
    sim = Sim(qpos, qvel, jnp.zeros(qvel.shape), robot.x(physics, seen))
    return TaskStep(sim, jnp.concatenate(observe(robot, seen)))


def _step(robot: Robot, physics: Physics, sim: Sim, action: jax.Array) -> TaskStep:
    ctrl = control(physics, action)
    data = physics.step(physics.on_device, sim.qpos, sim.qvel, sim.warmstart, ctrl)
    return outcome(robot, physics, sim, ctrl, data)


def control(physics: Physics, action: jax.Array) -> jax.Array:
    """Scale an action in [-1, 1] to the motors' ranges. [A] -> [A]."""
    low, high = jnp.asarray(physics.model.actuator_ctrlrange.T, jnp.float32)
    return low + (action + 1.0) / 2.0 * (high - low)


def outcome(robot: Robot, physics: Physics, sim: Sim, ctrl: jax.Array, data: mjx.Data) -> TaskStep:
    """Observe and pay a step from `sim` with the motor controls `ctrl` [A] to `data`."""
    seen = look(data)
    x, reward, healthy = judge(robot, physics, sim.x, ctrl, seen)
    after = Sim(data.qpos, data.qvel, data.qacc_warmstart, x)
    obs = jnp.concatenate(observe(robot, seen))
    return TaskStep(after, obs, reward, terminated=~healthy)
