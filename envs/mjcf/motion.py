"""A model of one's own in motion, on any engine: states in, states and what is seen of them out."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from envs.engines.inertia import on_mjx
from envs.engines.mjx_engine import Fidelity, Impl, Physics, make_physics, up_to_date
from envs.engines.observables import Observables
from envs.engines.randomise import Plan, Ranges, make_plan, refuse_ranges_on
from envs.mjcf.robot_state import Seen

POSITIONS = ("xpos", "xquat", "geom_xpos", "site_xpos")


class Motion(NamedTuple):
    """begin: (qpos [Q], qvel [V]) -> (inner, Seen). go: (inner, Seen before, ctrl [A], factors [F])
    -> (inner, Seen). inner: what the engine goes on from; factors: of the plan, none without one.
    model: to draw; dt: s of a step; on_host: steps are callbacks to the host."""

    model: mujoco.MjModel
    dt: float
    begin: Callable[[jax.Array, jax.Array], tuple[Any, Seen]]
    go: Callable[[Any, Seen, jax.Array, Any], tuple[Any, Seen]]
    plan: Plan | None = None
    on_host: bool = False


def make_motion(
    spec: mujoco.MjSpec, frame_skip: int, fidelity: Fidelity, engine: Impl, ranges: Ranges
) -> Motion:
    """Set a model in motion. Raises ValueError for what the engine cannot take."""
    if engine == "c":
        return _on_c(spec, frame_skip, fidelity, ranges)
    refuse_ranges_on(engine, ranges)
    physics = make_physics(spec, frame_skip, fidelity, engine)
    if physics.model.na:
        raise ValueError(
            f"impl={engine!r} cannot take actuators with activations (na={physics.model.na}: "
            "muscles, filters, integrators)"
        )
    plan = make_plan(ranges, physics.model)
    multiplied = plan and on_mjx(plan, physics.model)
    go = partial(_go, physics, multiplied)
    return Motion(physics.model, physics.dt, partial(_begin, physics), go, plan)


class Inner(NamedTuple):
    """qpos: [Q]; qvel, warmstart: [V]."""

    qpos: jax.Array
    qvel: jax.Array
    warmstart: jax.Array


def _begin(physics: Physics, qpos: jax.Array, qvel: jax.Array) -> tuple[Inner, Seen]:
    data = physics.place(qpos, qvel)
    seen = Seen(jnp.zeros(()), qpos, qvel, jnp.zeros(physics.model.nu), *_positions(data))
    return Inner(qpos, qvel, jnp.zeros_like(qvel)), seen


def _go(
    physics: Physics,
    multiplied: Callable[[Any, jax.Array], Any] | None,
    inner: Inner,
    before: Seen,
    ctrl: jax.Array,
    factors: Any,
) -> tuple[Inner, Seen]:
    if multiplied is not None:
        physics = physics._replace(on_device=multiplied(physics.on_device, factors))
    data = up_to_date(physics, physics.step(physics.on_device, *inner, ctrl))
    time = before.time + physics.dt
    seen = Seen(time, data.qpos, data.qvel, ctrl, *_positions(data))
    return Inner(data.qpos, data.qvel, data.qacc_warmstart), seen


def _positions(data: Any) -> list[Any]:
    return [getattr(data, name) for name in POSITIONS]


def _on_c(spec: mujoco.MjSpec, frame_skip: int, fidelity: Fidelity, ranges: Ranges) -> Motion:
    from envs.engines.c_engine import NO_BITS, Simulator, compile_for_c, on_host

    model = compile_for_c(spec, fidelity)
    plan = make_plan(ranges, model)
    simulator = Simulator([model], frame_skip, POSITIONS, up_to_date=True, plan=plan)
    size = simulator.state_size
    blank = mujoco.MjData(model)
    shapes = [(model.nq,), (model.nv,), *(getattr(blank, name).shape for name in POSITIONS)]
    cuts = np.cumsum([int(np.prod(shape)) for shape in shapes])

    def start(_: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        states, seen = simulator.start(*np.split(drawn, [model.nq], axis=1))
        return states, _flat(seen)

    def advance(states: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ctrl, factors = np.split(inputs.astype(np.float64), [model.nu], axis=1)
        states, seen = simulator.advance(states, ctrl, factors=factors)
        return states, _flat(seen)

    started = on_host(start, (0, size), int(cuts[-1]))
    advanced = on_host(advance, (size, size), int(cuts[-1]))

    def read(time: jax.Array, ctrl: jax.Array, numbers: jax.Array) -> Seen:
        parts = jnp.split(numbers, cuts[:-1])
        qpos, qvel, *rest = (x.reshape(s) for x, s in zip(parts, shapes, strict=True))
        return Seen(time, qpos, qvel, ctrl, *rest)

    def begin(qpos: jax.Array, qvel: jax.Array) -> tuple[jax.Array, Seen]:
        bits, numbers = started(NO_BITS, jnp.concatenate([qpos, qvel]))
        return bits, read(jnp.zeros(()), jnp.zeros(model.nu), numbers)

    def go(bits: jax.Array, before: Seen, ctrl: jax.Array, factors: Any) -> tuple[jax.Array, Seen]:
        bits, numbers = advanced(bits, jnp.concatenate([ctrl, jnp.asarray(factors)]))
        return bits, read(before.time + simulator.dt, ctrl, numbers)

    return Motion(model, simulator.dt, begin, go, plan, on_host=True)


def _flat(seen: Observables) -> np.ndarray:
    parts = [seen.qpos, seen.qvel, *_positions(seen)]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
