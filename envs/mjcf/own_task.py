"""A task of one's own: `mjcf:robot.xml` with a reward in a few lines.

reward: (before, action [A] in [-1, 1], after) -> the reward, or the reward and whether the episode
ends here; obs: (state) -> [O]; reset: (key, qpos, qvel) -> (qpos, qvel). All of jax.numpy; states
are `RobotState`s. impl: `c`, MuJoCo itself, for CPUs, which takes every model; `jax`, MJX; `warp`,
NVIDIA's; `auto`, `c` on a CPU and else `jax`. With fast, Euler and 4 solver iterations, `auto` is
`jax`, as for the locomotion tasks.
"""

import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco

from drac_jax.types import EnvSpec, Visual
from envs.batching import Task, TaskStep, repeat
from envs.engines.mjx_engine import Asked, Fidelity, engine_for
from envs.engines.randomise import Ranges, draw_each_episode
from envs.mjcf import own_functions
from envs.mjcf.motion import Motion, make_motion
from envs.mjcf.own_rules import Rules, check_rules, first_state, paid, usual_obs
from envs.mjcf.robot_state import RobotState, Seen

MAX_STEPS = 1000


class OwnSim(NamedTuple):
    """inner: what the engine goes on from; seen: the state that functions look at."""

    inner: Any
    seen: Seen


def make_mjcf(
    path: str,
    *,
    reward: Annotated[str, "function (before, action, after), named as arm.py:reward"] = "",
    obs: Annotated[
        str | None, "function (state); else qpos and qvel, no x, y of a free root"
    ] = None,
    reset: Annotated[str | None, "function (key, qpos, qvel); else the model's first pose"] = None,
    noise: Annotated[float, "without reset, most that is added to each qpos and qvel"] = 0.01,
    frame_skip: Annotated[int, "physics steps of an env step"] = 5,
    max_steps: Annotated[int, "env steps of an episode"] = MAX_STEPS,
    impl: Annotated[
        Asked, "engine: c (MuJoCo), jax (MJX), warp, or what suits the device"
    ] = "auto",
    fast: Annotated[bool, "Euler and 4 solver iterations, whatever the model says"] = False,
    randomise: Annotated[
        dict[str, tuple[float, float]] | None,
        "factors drawn for every episode, as geom_friction 0.5 1.5 body_mass:upper 0.8 1.2",
    ] = None,
    action_repeat: Annotated[int, "env steps of one action, their rewards summed"] = 1,
) -> Task:
    """Make a task of a model file.

    Its functions are as this module says; randomise: see `engines.randomise`. Raises ValueError
    for a file, a model, an engine, a range or a function that will not do.
    """
    _check_numbers(frame_skip, max_steps, noise)
    functions = {"reward": reward, "obs": obs, "reset": reset}
    found = own_functions.find_all(functions)
    if "reward" not in found:
        raise ValueError("it needs a reward; name a file and a function, as arm.py:reward")
    rules = Rules(found["reward"], found.get("obs", usual_obs), found.get("reset"), noise)
    spec, model = _read(path)
    motion = _in_motion(spec, frame_skip, "fast" if fast else "gymnasium", impl, randomise or {})
    name = f"mjcf_{Path(path).stem}"
    size = check_rules(name, functions, rules, motion)
    env_spec = EnvSpec(name, size, model.nu, max_steps, host_callback=motion.on_host)
    visual = Visual(lambda: motion.model, lambda sim: sim.seen.qpos, motion.dt)
    step = partial(_step, rules, motion)
    task = Task(env_spec, partial(_reset, rules, motion), step, visual)
    if motion.plan is not None:
        task = draw_each_episode(task, motion.plan, step)
    return repeat(task, action_repeat)


def _check_numbers(frame_skip: int, max_steps: int, noise: float) -> None:
    if frame_skip < 1:
        raise ValueError(f"frame_skip={frame_skip} must be at least 1; use 5")
    if max_steps < 1:
        raise ValueError(f"max_steps={max_steps} must be at least 1; use {MAX_STEPS}")
    if noise < 0.0:
        raise ValueError(f"noise={noise} must be at least 0")


def load(path: str, options: Mapping[str, Any]) -> Task:
    """Call `make_mjcf` with options that a user named. Raises ValueError for what is none."""
    known = [name for name in inspect.signature(make_mjcf).parameters if name != "path"]
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"no option {unknown[0]!r}; it has {', '.join(known)}")
    return make_mjcf(path, **options)


def _read(path: str) -> tuple[mujoco.MjSpec, mujoco.MjModel]:
    """Read a model, and check that it has what a task needs."""
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}")
    try:
        spec = mujoco.MjSpec.from_file(path)
        model = spec.compile()
    except ValueError as error:
        why = own_functions.one_line(error)
        raise ValueError(f"{path} is not a model that MuJoCo can read: {why}") from None
    if model.nu == 0:
        raise ValueError(f"{path} has no actuators; add some, as <motor joint=... ctrlrange=...>")
    for i in range(model.nu):
        low, high = model.actuator_ctrlrange[i]
        if not low < high:
            name = model.actuator(i).name or f"number {i}"
            raise ValueError(
                f"{path}: actuator {name} has no ctrlrange, to which actions in [-1, 1] are "
                'mapped; give it one, as ctrlrange="-1 1"'
            )
    return spec, model


def _in_motion(
    spec: mujoco.MjSpec, frame_skip: int, fidelity: Fidelity, impl: Asked, ranges: Ranges
) -> Motion:
    engine = engine_for(impl, fidelity)
    try:
        return make_motion(spec, frame_skip, fidelity, engine, ranges)
    except ValueError as error:
        other = "; or use impl='c', on a CPU" if "cannot take" in str(error) else ""
        raise ValueError(own_functions.one_line(error) + other) from None


def _reset(rules: Rules, motion: Motion, key: jax.Array) -> TaskStep:
    sim = OwnSim(*motion.begin(*first_state(rules, motion.model, key)))
    return TaskStep(sim, rules.obs(RobotState(motion.model, sim.seen)))


def _step(
    rules: Rules, motion: Motion, sim: OwnSim, action: jax.Array, factors: Any = ()
) -> TaskStep:
    low, high = jnp.asarray(motion.model.actuator_ctrlrange.T, jnp.float32)
    # In this order nothing of an action gets lost where the range is [-1, 1].
    ctrl = (low + high) / 2 + (high - low) / 2 * action
    after = OwnSim(*motion.go(sim.inner, sim.seen, ctrl, factors))
    reward, terminated = paid(rules, motion.model, sim.seen, action, after.seen)
    return TaskStep(after, rules.obs(RobotState(motion.model, after.seen)), reward, terminated)
