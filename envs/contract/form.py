"""The rules of form: sizes, shapes, dtypes and structure; they only trace, and compile nothing."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from drac_jax.types import EnvSpec, EnvState
from envs.batching import TaskStep
from envs.contract.subject import NUM_ENVS, NotApplicable, Subject, leaves_of, make_keys

# A number of a later kind does not fit an earlier one.
KINDS: tuple[Any, ...] = (jnp.bool_, jnp.integer, jnp.inexact, jax.dtypes.prng_key)


def spec_is_sound(subject: Subject) -> list[str]:
    """Sizes are whole numbers, and the scene has the goals that are counted."""
    spec = subject.env.spec
    sizes = {name: getattr(spec, name) for name in ("obs_size", "action_size", "max_steps")}
    found = [
        f"spec.{name}={value!r} must be a whole number, at least 1"
        for name, value in sizes.items()
        if not isinstance(value, int) or value < 1
    ]
    if spec.scene is not None and len(spec.scene.goals) != spec.num_goals:
        found.append(f"spec.num_goals={spec.num_goals}, but scene has {len(spec.scene.goals)}")
    return found


def task_keeps_its_shapes(subject: Subject) -> list[str]:
    """The unbatched reset and step give the declared obs, the same shapes and kinds of number."""
    if subject.task is None:
        raise NotApplicable("it is batched by itself")
    task, spec = subject.task, subject.task.spec
    first = jax.eval_shape(task.reset, jax.random.key(0))
    if not isinstance(first, TaskStep):
        return [f"reset returns {type(first).__name__}; return a TaskStep"]
    after = jax.eval_shape(task.step, first.sim, jnp.zeros(spec.action_size))
    if not isinstance(after, TaskStep):
        return [f"step returns {type(after).__name__}; return a TaskStep"]
    found = _differences(after, first, _fits)
    leaves, wanted = leaves_of(first), dict.fromkeys(TaskStep._fields[2:], ())
    for name, shape in {"obs": (spec.obs_size,), **wanted}.items():
        if name not in leaves or leaves[name].shape != shape:
            got = _type(leaves[name]) if name in leaves else "no array"
            found.append(f"reset returns {name} as {got}; the spec asks for the shape {shape}")
    return found


def reset_has_the_declared_types(subject: Subject) -> list[str]:
    """A reset of any number of environments gives the declared shapes and dtypes, none weak."""
    found = []
    for number in (1, NUM_ENVS):
        state = jax.eval_shape(subject.env.reset, make_keys(number))
        if not isinstance(state, EnvState):
            return [f"reset returns {type(state).__name__}; return an EnvState"]
        leaves = leaves_of(state)
        for name, wanted in _wanted(subject.env.spec, number).items():
            got = _type(leaves[name]) if name in leaves else "nothing"
            if got != wanted:
                found.append(f"reset of {number} returns {name} as {got}; it must be {wanted}")
        weak = [n for n, leaf in leaves.items() if leaf.weak_type and n.startswith("internal")]
        found += [f"reset returns {name} weakly typed; give it a dtype" for name in weak]
        if found:
            break
    return found


def step_returns_the_types_of_reset(subject: Subject) -> list[str]:
    """A step takes the declared action and returns what a scan can carry."""
    given = jax.eval_shape(subject.env.reset, make_keys())
    action = jax.ShapeDtypeStruct((NUM_ENVS, subject.env.spec.action_size), jnp.float32)
    after = jax.eval_shape(subject.env.step, given, action)
    return _differences(after, given, lambda new, ref: _type(new) == _type(ref))


def _wanted(spec: EnvSpec, number: int) -> dict[str, str]:
    """List the types that a batch of `number` has. -> name: type, as `_type` writes it."""
    obs = f"float32({number}, {spec.obs_size})"
    each = {name: f"{name}({number},)" for name in ("bool", "int32", "float32")}
    return {
        "obs": obs,
        "reward": each["float32"],
        "done": each["bool"],
        "info['truncation']": each["bool"],
        "info['terminal_obs']": obs,
        "info['goal']": each["int32"],
        "info['broken']": each["bool"],
        "info['episode_return']": each["float32"],
        "info['episode_length']": each["int32"],
    }


def _differences(after: Any, first: Any, same: Callable[[Any, Any], bool]) -> list[str]:
    """Say where a step's result differs from a reset's."""
    new, ref = leaves_of(after), leaves_of(first)
    found = [f"step returns no {name}, and reset does" for name in ref if name not in new]
    found += [f"step returns {name}, and reset does not" for name in new if name not in ref]
    found += [
        f"step returns {name} as {_type(new[name])}, reset as {_type(ref[name])}; make them alike"
        for name in new
        if name in ref and not same(new[name], ref[name])
    ]
    structures: list[Any] = [jax.tree.structure(tree) for tree in (after, first)]
    if not found and structures[0] != structures[1]:
        found.append("step returns containers of other kinds than reset; use the same")
    return found


def _fits(new: Any, ref: Any) -> bool:
    """Whether a step's leaf can be cast to a reset's: `batch` does that, and 0.5 would become 0."""
    return new.shape == ref.shape and _kind(new) <= _kind(ref)


def _kind(leaf: Any) -> int:
    return next(i for i, kind in enumerate(KINDS) if jnp.issubdtype(leaf.dtype, kind))


def _type(leaf: Any) -> str:
    """Write a type: `float32(4, 2)`, or `weak float32(4, 2)`, which a Python scalar gives."""
    return "weak " * leaf.weak_type + f"{leaf.dtype}{leaf.shape}"


FORM: dict[str, Callable[[Subject], list[str]]] = {
    "spec": spec_is_sound,
    "task": task_keeps_its_shapes,
    "reset": reset_has_the_declared_types,
    "step": step_returns_the_types_of_reset,
}
