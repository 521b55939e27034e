"""The libraries whose environments can be named, `<library>:<name>`: how each makes one, and what
options it has.

Another library is another entry of LIBRARIES.
"""

import importlib
import subprocess
from collections.abc import Callable, Collection
from difflib import get_close_matches
from typing import Any, NamedTuple

from envs.foreign import signatures
from envs.foreign.randomised_model import Draw, RandomisedModel
from envs.foreign.signatures import Option, Options

BRAX_MAX_STEPS = 1000  # brax.envs.create's episode_length, for every environment


class Library(NamedTuple):
    """make: (name, options) -> anything that `brax_protocol.adapt` takes; options: (name) -> those
    of its constructor. max_steps: the time limit of environments that state none. batched: `make`
    gives an Environment, which the options of `adapt` are not for. Both raise ValueError for an
    unknown name, and where the library is not installed."""

    make: Callable[[str, dict[str, Any]], Any]
    options: Callable[[str], Options]
    max_steps: int | None = None
    batched: bool = False


def need(module: str, name: str, extra: str) -> Any:
    """Import a library's module. Raises ValueError that says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        install = f"pip install 'drac_jax[{extra}]'"
        raise ValueError(f"{name} is missing ({error}); use {install}") from error


def check_name(name: str, known: Collection[str]) -> None:
    """Raise ValueError, with the nearest names, for one that is not known."""
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.0)
        raise ValueError(f"no environment {name!r}; nearest: {', '.join(near)}")


def _brax(name: str) -> Any:
    from brax import envs

    check_name(name, list(envs._envs))  # Brax has no public list
    return envs


def _make_brax(name: str, options: dict[str, Any]) -> Any:
    return _brax(name).get_environment(name, **options)


def _options_of_brax(name: str) -> Options:
    return signatures.of_callable(_brax(name)._envs[name])


def _playground(name: str) -> Any:
    registry = need("mujoco_playground", "MuJoCo Playground", "playground").registry
    check_name(name, registry.ALL_ENVS)
    return registry


def _make_playground(name: str, options: dict[str, Any]) -> Any:
    registry = _playground(name)
    options = dict(options)
    draw = _randomiser(registry, name) if options.pop("randomise", False) else None
    given = {key: list(v) if isinstance(v, tuple) else v for key, v in options.items()}
    if given.get("impl", "auto") == "auto":
        given["impl"] = "jax"  # theirs is warp
    if given["impl"] == "warp":
        raise ValueError(
            "impl='warp' keeps the contacts of all environments in one list, and an autoreset "
            "replaces the state of one; use impl='jax'"
        )
    try:
        env = registry.load(name, config_overrides=given)
    except subprocess.CalledProcessError as error:  # of git
        raise ValueError(
            "MuJoCo Playground clones its robots from GitHub when the first is made, and git "
            f"failed; try again where the network reaches it ({error})"
        ) from error
    return env if draw is None else RandomisedModel(env, draw)


def _randomiser(registry: Any, name: str) -> Draw:
    if (draw := registry.get_domain_randomizer(name)) is None:
        raise ValueError(f"randomise=True: Playground has no randomiser of {name}; leave it out")
    return draw


def _options_of_playground(name: str) -> Options:
    options = signatures.of_config(_playground(name).get_default_config(name))
    if "impl" in options:
        options["impl"] = Option(str, "auto", "engine: auto and jax are MJX's own; warp is refused")
    about = "draw a model for each initial state, by Playground's own randomiser"
    return {**options, "randomise": Option(bool, False, about)}


def _make_gymnasium(name: str, options: dict[str, Any]) -> Any:
    from envs.foreign import gymnasium_host  # Gymnasium and MuJoCo take a second

    return gymnasium_host.make_gymnasium(name, options)


def _options_of_gymnasium(name: str) -> Options:
    from envs.foreign import gymnasium_host

    return gymnasium_host.options_of(name)


def _make_mjcf(path: str, options: dict[str, Any]) -> Any:
    from envs.mjcf import own_task  # MuJoCo takes a second

    return own_task.load(path, options)


def _options_of_mjcf(path: str) -> Options:
    from envs.mjcf import own_task

    return signatures.of_callable(own_task.make_mjcf, leave_out=("path",))


LIBRARIES: dict[str, Library] = {
    "brax": Library(_make_brax, _options_of_brax, BRAX_MAX_STEPS),
    "playground": Library(_make_playground, _options_of_playground),
    "mjcf": Library(_make_mjcf, _options_of_mjcf),
    "gymnasium": Library(_make_gymnasium, _options_of_gymnasium, batched=True),
}
