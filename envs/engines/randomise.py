"""Domain randomisation: physical quantities multiplied by factors drawn for every episode.

A range is named by a quantity, `body_mass`, or by a quantity and an element, `body_mass:torso`.
Each range is one factor, drawn uniformly: all that it names shares it. Of the quantities that
follow from masses (see `Inertia`), MJX gets those of the same mass matrix that MuJoCo computes.
"""

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from envs.batching import Task, TaskStep

Ranges = Mapping[str, tuple[float, float]]

# quantity -> (what its elements are, the fields of MjModel that its factor multiplies). A column
# after the dot: only that one is multiplied.
QUANTITIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "geom_friction": ("geom", ("geom_friction",)),
    "body_mass": ("body", ("body_mass", "body_inertia")),  # the same shape, of another density
    "dof_damping": ("joint", ("dof_damping",)),
    "dof_armature": ("joint", ("dof_armature",)),
    "dof_frictionloss": ("joint", ("dof_frictionloss",)),
    "jnt_stiffness": ("joint", ("jnt_stiffness",)),
    "actuator_gear": ("actuator", ("actuator_gear",)),
    "actuator_kp": ("actuator", ("actuator_gainprm.0", "actuator_biasprm.1")),
    "gravity": ("", ("opt.gravity",)),
}
OF_MASSES = ("body_mass", "dof_armature")  # what changes the mass matrix


class Draw(NamedTuple):
    """One range. masks: field of MjModel -> which of its numbers are multiplied."""

    quantity: str
    low: float
    high: float
    masks: dict[str, np.ndarray]


class Plan(NamedTuple):
    """F ranges of a model. fields: those of the model that they multiply, as it has them."""

    draws: tuple[Draw, ...]
    fields: dict[str, np.ndarray]

    @property
    def changes_masses(self) -> bool:
        """Whether quantities change that others follow from."""
        return any(draw.quantity in OF_MASSES for draw in self.draws)


class Drawn(NamedTuple):
    """The simulation of a task, and what was drawn for it. factors: [F], of the ranges."""

    sim: Any
    factors: jax.Array


def make_plan(ranges: Ranges, model: mujoco.MjModel) -> Plan | None:
    """Read ranges for a model; None where there are none.

    Raises ValueError for a quantity or an element that there is not, and a range that is none.
    """
    draws = tuple(_read(name, values, model) for name, values in ranges.items())
    names = {name for draw in draws for name in draw.masks}
    return (
        Plan(draws, {name: np.array(model_field(model, name)) for name in names}) if draws else None
    )


def refuse_ranges_on(engine: str, ranges: Ranges) -> None:
    """Raise ValueError where there are ranges, and the engine is one for which they are none."""
    if ranges and engine == "warp":
        raise ValueError("randomise: impl='warp' has one model for all; use 'jax', or 'c' on a CPU")


def _read(name: str, values: tuple[float, float], model: mujoco.MjModel) -> Draw:
    quantity, _, element = name.partition(":")
    if quantity not in QUANTITIES:
        near = ", ".join(get_close_matches(quantity, QUANTITIES, n=3, cutoff=0.0))
        raise ValueError(f"randomise: no quantity {quantity!r}; nearest: {near}")
    low, high = _check_range(name, values)
    kind, fields = QUANTITIES[quantity]
    masks: dict[str, np.ndarray] = {}
    for place in fields:
        field, _, column = place.partition(".") if kind else (place, "", "")
        mask = np.zeros(np.shape(model_field(model, field)), bool)
        rows = _rows(name, kind, field, element, model)
        mask[(rows, int(column)) if column else rows] = True
        masks[field] = mask
    if not any(model_field(model, field)[mask].any() for field, mask in masks.items()):
        raise ValueError(f"randomise: {name} is 0 in this model, whatever it is multiplied by")
    return Draw(quantity, low, high, masks)


def _check_range(name: str, values: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(
            f"randomise: {name}={values!r} must be two factors, the least and the largest"
        ) from None
    least = 0.0 if name.startswith("gravity") else 1e-6  # what has no mass cannot be accelerated
    if not (math.isfinite(high) and least <= low <= high):
        raise ValueError(
            f"randomise: {name}={low, high} must be two factors, the least (above 0) and the "
            "largest; use 0.8 1.2"
        )
    return low, high


def _rows(name: str, kind: str, field: str, element: str, model: mujoco.MjModel) -> Any:
    """Choose the rows of a field that belong to an element; all, where none is named."""
    if not element:
        return slice(None)
    if not kind:
        raise ValueError(f"randomise: {name}: {field} is the whole model's; leave out :{element}")
    number = mujoco.mj_name2id(model, getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}"), element)
    if number < 0:
        count = {"actuator": model.nu, "joint": model.njnt}.get(kind, getattr(model, f"n{kind}", 0))
        known = [getattr(model, kind)(i).name for i in range(count)]
        near = ", ".join(get_close_matches(element, known, n=3, cutoff=0.0)) or "none has a name"
        raise ValueError(f"randomise: {name}: the model has no {kind} {element!r}; nearest: {near}")
    return model.dof_jntid == number if field.startswith("dof_") else number


def model_field(model: mujoco.MjModel, name: str) -> Any:
    """Get an array of a model, or of its options."""
    return model.opt.gravity if name == "opt.gravity" else getattr(model, name)


def scaled(plan: Plan, factors: Any) -> dict[str, Any]:
    """Multiply the fields of a plan. factors: [F], of JAX or of NumPy."""
    lib = jnp if isinstance(factors, jax.Array) else np
    fields = {}
    for name, values in plan.fields.items():
        scale = lib.ones(values.shape)
        for i, draw in enumerate(plan.draws):
            if name in draw.masks:
                scale = lib.where(draw.masks[name], scale * factors[i], scale)
        fields[name] = values * scale
    return fields


def draw_factors(plan: Plan, key: jax.Array) -> jax.Array:
    """Draw a factor for each range. -> [F]."""
    low, high = jnp.asarray([(draw.low, draw.high) for draw in plan.draws], jnp.float32).T
    return jnp.clip(low + (high - low) * jax.random.uniform(key, low.shape), low, high)


def draw_each_episode(
    task: Task, plan: Plan, step: Callable[[Any, jax.Array, jax.Array], TaskStep]
) -> Task:
    """Make a task whose every episode has factors of its own, which ride in its simulation.

    step: (sim, action, factors [F]) -> TaskStep. The first observation of an episode is that of the
    model as it is, for the pool that it comes from knows no factors.
    """

    def reset(key: jax.Array) -> TaskStep:
        first = task.reset(key)
        factors = draw_factors(plan, jax.random.fold_in(key, 1))
        return first._replace(sim=Drawn(first.sim, factors))

    def stepped(sim: Drawn, action: jax.Array) -> TaskStep:
        out = step(sim.sim, action, sim.factors)
        return out._replace(sim=sim._replace(sim=out.sim))

    def renew(sim: Drawn, key: jax.Array) -> Drawn:
        return sim._replace(factors=draw_factors(plan, key))

    visual = task.visual
    if visual is not None:
        see = visual.qpos
        visual = visual._replace(qpos=lambda sim: see(sim.sim))
    return task._replace(reset=reset, step=stepped, visual=visual, renew=renew)
