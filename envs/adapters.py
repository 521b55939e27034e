"""Adapters for environments of Brax, MuJoCo Playground, and others with Brax's protocol.

Their protocol is unbatched: reset(key) and step(state, action) give a state with obs, reward and
done. Ours are the time limit, the batch, autoreset, terminal obs and the NaN guard, so an
environment enters bare, without Brax's EpisodeWrapper and AutoResetWrapper.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from drac_jax.types import Environment, EnvSpec, Visual
from envs.batching import Task, TaskStep, batch

PROTOCOL = ("reset", "step", "action_size")
WRAPPERS = ("EpisodeWrapper", "AutoResetWrapper", "VmapWrapper")  # what `batch` does
BRAX_MAX_STEPS = 1000  # brax.envs.create's episode_length, for every environment
TRUNCATIONS = ("truncation", "time_out")  # what an end by time is called in a state's info
# Brax's pendulum calls its fall a time_out, and without termination nothing is left to learn.
FALLS_BY_TIME_OUT = ("brax.envs.inverted_pendulum",)


def adapt(
    env: Any, max_steps: int | None = None, obs_key: str = "state", pool_size: int = 64
) -> Environment:
    """Make a batched environment of a Task, of a Brax or Playground environment, or of anything
    with their reset, step and action_size; an Environment is returned as it is.

    max_steps, obs_key: as for `from_brax`; pool_size: as for `batch`. Raises ValueError for what
    is missing.
    """
    if isinstance(env, Environment):
        if max_steps not in (None, env.spec.max_steps):
            limit = env.spec.max_steps
            raise ValueError(f"max_steps={max_steps}: this environment is made with {limit}")
        return env
    if isinstance(env, Task):
        limit = env.spec.max_steps if max_steps is None else max_steps
        return batch(env._replace(spec=env.spec._replace(max_steps=limit)), pool_size)
    make_task = from_playground if hasattr(env, "mjx_model") else from_brax
    return batch(make_task(env, max_steps, obs_key), pool_size)


def from_brax(env: Any, max_steps: int | None = None, obs_key: str = "state") -> Task:
    """Make a task of a Brax environment, or of any other with its protocol.

    max_steps: the time limit; needed where the environment states no episode_length. obs_key: of
    an obs that is a dict; it must be a vector. done is termination, unless the state's info has a
    flag `truncation` or `time_out`. Raises ValueError for what is missing, and for wrappers that
    do what `batch` does. Its returns compare with Brax's own, not with Gymnasium's.
    """
    system = getattr(env, "sys", None)
    visual = None
    if system is not None:
        visual = Visual(lambda: system.mj_model, lambda sim: sim.pipeline_state.q, env.dt)
    return _make_task(env, max_steps, obs_key, visual)


def from_playground(env: Any, max_steps: int | None = None, obs_key: str = "state") -> Task:
    """Make a task of a MuJoCo Playground environment; as `from_brax`, with its own time limit.

    Actions are clipped to [-1, 1], which is what Playground's environments expect.
    """
    visual = Visual(lambda: env.mj_model, lambda sim: sim.data.qpos, env.dt)
    return _make_task(env, max_steps, obs_key, visual)


def load(
    name: str,
    max_steps: int | None = None,
    obs_key: str = "state",
    pool_size: int = 64,
    **options: Any,
) -> Environment:
    """Load `brax:<name>` or `playground:<name>`; options go to its constructor or its config.

    Raises ValueError for an unknown name or option, or a package that is not installed.
    """
    library, _, inner = name.partition(":")
    if library not in LIBRARIES:
        known = ", ".join(f"{key}:<name>" for key in LIBRARIES)
        raise ValueError(f"environment {name!r} is unknown; {library!r} is none of {known}")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # they print that warp is not there
            env, limit = LIBRARIES[library](inner, options)
    except Exception as error:  # whatever their constructors, and downloads of models, raise
        raise ValueError(f"{name} cannot be made: {error}") from error
    env = adapt(env, limit if max_steps is None else max_steps, obs_key, pool_size)
    return env._replace(spec=env.spec._replace(name=f"{library}_{Path(inner).stem}"))


def _load_brax(name: str, options: dict[str, Any]) -> tuple[Any, int | None]:
    from brax import envs

    _check_name(name, list(envs._envs))  # Brax has no public list
    return envs.get_environment(name, **options), BRAX_MAX_STEPS


def _load_playground(name: str, options: dict[str, Any]) -> tuple[Any, int | None]:
    try:
        from mujoco_playground import registry
    except ImportError as error:
        install = "pip install -e '.[playground]'"
        raise ValueError(f"MuJoCo Playground is missing ({error}); use {install}") from error
    _check_name(name, registry.ALL_ENVS)
    # Their default, warp, needs CUDA.
    impl = {} if jax.default_backend() == "gpu" else {"impl": "jax"}
    return registry.load(name, config_overrides=impl | options), None


def _load_mjcf(path: str, options: dict[str, Any]) -> tuple[Any, int | None]:
    from envs.mjcf import own_task

    return own_task.load(path, options), None


LIBRARIES = {"brax": _load_brax, "playground": _load_playground, "mjcf": _load_mjcf}


def _check_name(name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.0)
        raise ValueError(f"no environment {name!r}; nearest: {', '.join(near)}")


def _make_task(env: Any, max_steps: int | None, obs_key: str, visual: Visual | None) -> Task:
    like = _example(env)
    obs_size = _vector(like.obs, obs_key).shape[0]
    bare = type(getattr(env, "unwrapped", env))
    flags = TRUNCATIONS[: 1 if bare.__module__ in FALLS_BY_TIME_OUT else None]

    def told(state: Any) -> TaskStep:
        done, timed = jnp.asarray(state.done, bool), jnp.zeros((), bool)
        info = getattr(state, "info", {})
        for flag in flags:
            timed |= jnp.asarray(info.get(flag, False), bool)
        obs, sim = _vector(state.obs, obs_key), _hide(state, like)
        return TaskStep(sim, obs, state.reward, terminated=done & ~timed, truncated=done & timed)

    def reset(key: jax.Array) -> TaskStep:
        return told(env.reset(jax.random.key_data(key)))  # some know only the untyped keys

    def step(sim: Any, action: jax.Array) -> TaskStep:
        return told(env.step(_shown(sim, like), action))

    spec = EnvSpec(bare.__name__, obs_size, int(env.action_size), _limit(env, max_steps))
    return Task(spec, reset, step, visual)


def _example(env: Any) -> Any:
    """Check what an environment has and trace its reset. -> the shapes of its state."""
    name = type(env).__name__
    if missing := [part for part in PROTOCOL if not hasattr(env, part)]:
        raise ValueError(f"{name} has no {', '.join(missing)}; it needs {', '.join(PROTOCOL)}")
    layer = env
    while layer is not None:
        if type(layer).__name__.endswith(WRAPPERS):
            wrapper = type(layer).__name__
            raise ValueError(f"env is in a {wrapper}; pass it bare: envs.batch does what that does")
        layer = vars(layer).get("env") if hasattr(layer, "__dict__") else None
    try:
        state = jax.eval_shape(env.reset, jax.random.key_data(jax.random.key(0)))
    except Exception as error:
        raise ValueError(f"{name}.reset(key) raises {type(error).__name__}: {error}") from error
    if missing := [part for part in ("obs", "reward", "done") if not hasattr(state, part)]:
        kind = type(state).__name__
        raise ValueError(f"{name}.reset(key) returns {kind}, without {', '.join(missing)}")
    return state


def _limit(env: Any, max_steps: int | None) -> int:
    """Take the time limit, or the one that the environment states, itself or in its config."""
    places = (env, getattr(env, "_config", None))  # Playground has no public one
    stated = [getattr(place, "episode_length", None) for place in places]
    limit = next((n for n in (max_steps, *stated) if n is not None), None)
    if limit is None or limit < 1:
        raise ValueError(f"max_steps={limit}: the environment needs a time limit; use 1000")
    return int(limit)


def _vector(obs: Any, key: str) -> Any:
    """Take the vector out of an obs, by key where it is a dict."""
    if isinstance(obs, Mapping):
        if key not in obs:
            shapes = ", ".join(f"{name} {x.shape}" for name, x in obs.items())
            raise ValueError(f"obs_key={key!r} is not in the obs; it has {shapes}")
        obs = obs[key]
    if len(obs.shape) != 1:
        raise ValueError(
            f"the obs has shape {obs.shape}; it must be a vector (for a dict: obs_key)"
        )
    return obs


def _hide(state: Any, like: Any) -> Any:
    """Turn the floats of `info` and `metrics` into bits.

    Some are infinite by design (the step of the last push, before any), and the NaN guard would
    end such an environment at once; it watches the physics, the obs and the reward.
    """

    def hide(path: Any, x: Any, ref: Any) -> jax.Array:
        bits = _bits(path, ref)
        return x if bits is None else jax.lax.bitcast_convert_type(jnp.asarray(x, ref.dtype), bits)

    return jax.tree_util.tree_map_with_path(hide, state, like)


def _shown(sim: Any, like: Any) -> Any:
    """Undo `_hide`, in containers of its own, which an environment may change in place."""

    def show(path: Any, x: Any, ref: Any) -> jax.Array:
        bits = _bits(path, ref)
        return x if bits is None else jax.lax.bitcast_convert_type(x, ref.dtype)

    return jax.tree_util.tree_map_with_path(show, sim, like)


def _bits(path: Any, ref: Any) -> Any:
    """Choose the integers that hide a leaf, None for one that stays as it is."""
    field = jax.tree_util.keystr(path[:1], simple=True)
    hidden = field in ("info", "metrics") and jnp.issubdtype(ref.dtype, jnp.floating)
    return jnp.dtype(f"uint{8 * ref.dtype.itemsize}") if hidden else None
