"""Environments of Gymnasium, stepped on the host for compiled programs.

JAX calls the host once for a whole batch (and for all seeds, under vmap). A batch's state holds the
numbers of its simulators, and those of after a step come out of that step, so that steps are taken
in their order and two programs never share a simulator. What a simulator is in the middle of is
the host's alone: it cannot be copied, and no checkpoint holds it. A state that is stepped a second
time, or in another process, begins new episodes, reported as `broken`.
"""

from collections.abc import Callable
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from drac_jax.types import Environment, EnvSpec, EnvState
from envs.batching import begun, checked_limit, episode_sums
from envs.engines.c_engine import on_host
from envs.foreign import signatures
from envs.foreign.signatures import Option, Options
from envs.foreign.simulators import Simulators

OF_GYMNASIUM = ("render_mode", "default_camera_config")
LIMIT_HELP = "env steps of an episode; None: what Gymnasium has registered"
FLAGS = 4  # reward, terminated, truncated, broken


def make_gymnasium(name: str, options: dict[str, Any]) -> Environment:
    """Make an environment of Gymnasium's registry. options: max_steps, and its constructor's."""
    spec = _registered(name)
    asked = options.pop("max_steps", None)
    limit = checked_limit(spec.max_episode_steps if asked is None else asked)

    def make() -> gymnasium.Env:
        with _quietly():
            return gymnasium.make(spec, max_episode_steps=-1, disable_env_checker=True, **options)

    return from_factory(make, limit)


def options_of(name: str) -> Options:
    """List the options of an environment of Gymnasium's registry."""
    spec = _registered(name)
    with _installed():
        creator = gymnasium.envs.registration.load_env_creator(spec.entry_point)
    own = signatures.of_callable(creator, leave_out=OF_GYMNASIUM)
    given = {k: Option(signatures.type_of(v), v) for k, v in spec.kwargs.items() if k in own}
    known = {k: option for k, option in (own | given).items() if option.kind is not None}
    return {"max_steps": Option(int | None, None, LIMIT_HELP), **known}


def from_factory(make: Callable[[], gymnasium.Env], max_steps: int | None = None) -> Environment:
    """Make a batched environment of a function that makes one of Gymnasium.

    max_steps: the time limit, that of the environment's own spec where None. Raises ValueError for
    actions that are not a bounded box, observations that are no vector, and without a time limit.
    """
    with _installed():
        first = make()
    spec = getattr(first, "spec", None)
    stated = getattr(spec, "max_episode_steps", None)
    limit = checked_limit(stated if max_steps is None else max_steps)
    box, space = _action_box(first.action_space), first.observation_space
    size = _obs_size(space)
    simulators = Simulators(lambda: TimeLimit(make(), limit), space, box, [TimeLimit(first, limit)])
    begin = on_host(partial(_begin, simulators), (1, 2), size, effects=True)
    go = on_host(partial(_go, simulators, size), (2, 2), 2 * size + FLAGS, effects=True)
    end = on_host(partial(_end, simulators), (2, 0), 1, effects=True)
    name = spec.id if spec else type(first.unwrapped).__name__
    env_spec = EnvSpec(
        name, size, int(np.prod(box.shape)), limit, host_callback=True, forgotten=True
    )
    return Environment(
        env_spec, partial(_reset, begin), partial(_step, go, size, limit), None, partial(_over, end)
    )


def _reset(begin: Callable, keys: jax.Array) -> EnvState:
    seeds = jax.vmap(lambda key: jax.random.bits(key, (2,), jnp.uint32))(keys)
    bits, obs = jax.vmap(begin)(seeds, jnp.zeros((len(keys), 0)))
    return begun(obs, bits)


def _step(go: Callable, size: int, limit: int, state: EnvState, action: jax.Array) -> EnvState:
    bits, out = jax.vmap(go)(state.internal, action)
    obs, last, (reward, *flags) = out[:, :size], out[:, size : 2 * size], out[:, 2 * size :].T
    terminated, truncated, broken = (flag > 0 for flag in flags)
    length, total = episode_sums(state, reward)
    truncation = (truncated | (length >= limit)) & ~terminated
    info = {
        "truncation": truncation,
        "terminal_obs": jnp.where(broken[:, None], state.obs, last),
        "goal": jnp.zeros(len(length), jnp.int32),
        "broken": broken,
        "episode_return": total,
        "episode_length": length,
    }
    return EnvState(obs, reward, terminated | truncation, info, bits)


def _over(end: Callable, state: EnvState) -> None:
    jax.vmap(end)(state.internal, jnp.zeros((len(state.done), 0)))


# On the host: a row's "float64s" are the bits of whole numbers.


def _begin(
    simulators: Simulators, rows: np.ndarray, _: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    numbers, obs = zip(
        *simulators.begin((rows.view(np.uint64)[:, 0] % 2**32).tolist()), strict=True
    )
    return _as_rows([(number, 0) for number in numbers]), np.stack(obs)


def _go(
    simulators: Simulators, size: int, rows: np.ndarray, actions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    states, outputs = [], np.empty((len(rows), 2 * size + FLAGS), np.float32)
    for output, (number, ticks), action in zip(
        outputs, rows.view(np.uint64).tolist(), actions, strict=True
    ):
        number, ticks, out = simulators.step(number, ticks, action)
        states.append((number, ticks))
        output[:size], output[size : 2 * size], output[2 * size :] = out.obs, out.last, out[2:]
    return _as_rows(states), outputs


def _end(simulators: Simulators, rows: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    simulators.release(rows.view(np.uint64)[:, 0].tolist())
    return np.empty((len(rows), 0)), np.zeros((len(rows), 1))


def _as_rows(states: list[tuple[int, int]]) -> np.ndarray:
    return np.array(states, np.uint64).view(np.float64)


# What can be wrong.


def _registered(name: str) -> Any:
    """Look an environment up. Raises ValueError with the nearest names."""
    if name.startswith("dm_control/"):
        try:
            import shimmy  # which registers them
        except ImportError as error:
            raise ValueError(f"{error}; use {_install('dm_control')}") from error
        gymnasium.register_envs(shimmy)
    try:
        with _quietly():
            return gymnasium.spec(name)
    except (gymnasium.error.Error, ImportError) as error:
        near = get_close_matches(name, gymnasium.registry, n=3, cutoff=0.0)
        raise ValueError(f"no environment {name!r}; nearest: {', '.join(near)}") from error


@contextmanager
def _quietly():
    """Keep Gymnasium's remarks to itself: that a version is old, for one."""
    before, gymnasium.logger.min_level = gymnasium.logger.min_level, gymnasium.logger.ERROR
    try:
        yield
    finally:
        gymnasium.logger.min_level = before


@contextmanager
def _installed():
    """Turn a package that is missing into a ValueError that says how to install it."""
    try:
        yield
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        said = str(error).splitlines()[0]
        extra = "box2d" if "box2d" in said.lower() else ""
        advice = f"use {_install(extra)}" if extra else "install what it needs"
        raise ValueError(f"a package is missing: {said}; {advice}") from error


def _install(extra: str) -> str:
    return f"pip install 'drac_jax[{extra}]'"


def _action_box(space: gymnasium.Space) -> spaces.Box:
    if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise ValueError(f"its actions are {space}; only continuous ones (a Box) can be learned")
    if not space.is_bounded():
        raise ValueError(f"its actions {space} have no bounds; wrap it in RescaleAction or clip it")
    return space


def _obs_size(space: gymnasium.Space) -> int:
    for part in _parts(space):
        if isinstance(part, spaces.Box) and len(part.shape) > 1 and part.dtype == np.uint8:
            raise ValueError(f"its observations are images, {part}; only vectors can be learned")
    try:
        return int(spaces.flatdim(space))
    except (NotImplementedError, ValueError) as error:
        raise ValueError(f"its observations {space} are no vector: {error}") from error


def _parts(space: gymnasium.Space) -> list[gymnasium.Space]:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        inner = space.values() if isinstance(space, spaces.Dict) else space.spaces
        return [part for one in inner for part in _parts(one)]
    return [space]
