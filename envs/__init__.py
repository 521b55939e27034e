"""The environments, by name."""

import inspect
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import Any

from drac_jax.types import Environment
from envs.batching import Task, TaskStep, batch, repeat
from envs.contract import check
from envs.foreign import by_name, signatures
from envs.foreign.brax_protocol import adapt, from_brax, from_playground

__all__ = [
    "ENVIRONMENTS",
    "Task",
    "TaskStep",
    "adapt",
    "batch",
    "check",
    "from_brax",
    "from_playground",
    "make",
    "options_of",
    "repeat",
]


def _from(module: str, factory: str, *bound: str) -> Callable[[], Callable[..., Task]]:
    """Import a task's factory when it is asked for: MuJoCo takes a second."""

    def load() -> Callable[..., Task]:
        return partial(getattr(import_module(f"envs.{module}"), factory), *bound)

    return load


LOCOMOTION = ("ant", "halfcheetah", "hopper", "humanoid", "swimmer", "walker2d")

# name -> how to get the task's factory, and the size of its reset pool (1: the start is fixed).
ENVIRONMENTS: dict[str, tuple[Callable[[], Callable[..., Task]], int]] = {
    "mario": (_from("mario.level_gen", "make_level_gen"), 64),
    "multigoal": (_from("multigoal", "make_multigoal"), 1),
    "point_maze": (_from("mazes.point_maze", "make_point_maze"), 1),
    "point_mazes": (_from("mazes.point_maze", "make_point_mazes"), 1),
    "ant_maze": (_from("mazes.ant_maze", "make_ant_maze"), 64),
    "ant_mazes": (_from("mazes.ant_maze", "make_ant_mazes"), 64),
    **{name: (_from("locomotion.task", "make_locomotion", name), 64) for name in LOCOMOTION},
}


def make(name: Any, **options: Any) -> Environment:
    """Make a batched environment by name; options are those of its task.

    `<library>:<name>`, `module:function` and `file.py:function` are loaded by `by_name.load`. A
    Task, an Environment or an object with Brax's protocol goes to `adapt`, with its options. Raises
    ValueError for an unknown name (with the nearest) or option (with those there are), and for an
    object that is none of these.
    """
    if not isinstance(name, str):
        _check_options(
            f"an environment of type {type(name).__name__}", options, by_name.ADAPT_OPTIONS
        )
        return adapt(name, **options)
    if by_name.is_foreign(name):
        return by_name.load(name, **options)
    make_task, pool_size = _find(name)
    _check_options(name, options, inspect.signature(make_task).parameters)
    return batch(make_task(**options), pool_size)


def options_of(name: str) -> signatures.Options:
    """List the options of a named environment that words can say, with types and defaults. Raises
    ValueError for an unknown name."""
    if by_name.is_foreign(name):
        return by_name.options_of(name)
    return signatures.of_callable(_find(name)[0])


def _find(name: str) -> tuple[Callable[..., Task], int]:
    """Look up a task's factory and the size of its reset pool."""
    if name not in ENVIRONMENTS:
        near = get_close_matches(name, ENVIRONMENTS, n=3, cutoff=0.0)
        raise ValueError(f"environment {name!r} is unknown; nearest: {', '.join(near)}")
    factory, pool_size = ENVIRONMENTS[name]
    return factory(), pool_size


def _check_options(what: str, options: Mapping[str, Any], known: Collection[str]) -> None:
    if unknown := set(options) - set(known):
        raise ValueError(f"{what} has no option {sorted(unknown)[0]!r}; it has {', '.join(known)}")
