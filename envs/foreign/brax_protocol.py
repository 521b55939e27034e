"""Environments of Brax, of MuJoCo Playground, and others with Brax's protocol, as ours.

Their protocol is unbatched: reset(key) and step(state, action) give a state with obs, reward and
done. Ours are the time limit, the batch, autoreset, terminal obs and the NaN guard, so an
environment enters bare, without Brax's EpisodeWrapper and AutoResetWrapper.
"""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from drac_jax.types import Environment, EnvSpec, Visual
from envs.batching import Task, TaskStep, batch, checked_limit, repeat

PROTOCOL = ("reset", "step", "action_size")
WRAPPERS = ("EpisodeWrapper", "AutoResetWrapper", "VmapWrapper")  # what `batch` does
TRUNCATIONS = ("truncation", "time_out")  # what an end by time is called in a state's info
# Brax's pendulum calls its fall a time_out, and without termination nothing is left to learn.
FALLS_BY_TIME_OUT = ("brax.envs.inverted_pendulum",)


class Keys(NamedTuple):
    """The entries of a dict obs that actor and critic see: as options of their own, or, where
    those are empty, as `obs_key`."""

    obs_key: str = "state"
    actor_obs: str = ""
    critic_obs: str = ""

    @property
    def seen(self) -> dict[str, str]:
        """Name each one's key. -> by the option that it comes from: one entry where both see the
        same."""
        actor = {"actor_obs": self.actor_obs} if self.actor_obs else {"obs_key": self.obs_key}
        own = self.critic_obs not in ("", *actor.values())
        return actor | ({"critic_obs": self.critic_obs} if own else {})


def adapt(
    env: Any,
    max_steps: Annotated[int | None, "env steps of an episode; else its own"] = None,
    obs_key: Annotated[str, "entry of a dict obs that actor and critics see"] = "state",
    pool_size: Annotated[int, "initial states drawn once, from which episodes begin"] = 64,
    actor_obs: Annotated[str, "entry that the actor sees, in place of obs_key"] = "",
    critic_obs: Annotated[str, "entry that the critics see, in place of the actor's"] = "",
    action_repeat: Annotated[int, "env steps of one action, their rewards summed"] = 1,
) -> Environment:
    """Make a batched environment of a Task, of a Brax or Playground environment, or of anything
    with their reset, step and action_size; an Environment is returned as it is.

    max_steps, obs_key, actor_obs, critic_obs: as for `from_brax`; pool_size: as for `batch`;
    action_repeat: as for `repeat`. Raises ValueError for what is missing.
    """
    if isinstance(env, Environment | Task) and (actor_obs or critic_obs):
        raise ValueError(
            f"actor_obs={actor_obs!r}, critic_obs={critic_obs!r}: the obs of {env.spec.name} is no "
            "dict and has no keys; leave them out"
        )
    if isinstance(env, Environment):
        if max_steps not in (None, env.spec.max_steps):
            limit = env.spec.max_steps
            raise ValueError(f"max_steps={max_steps}: this environment is made with {limit}")
        if action_repeat != 1:
            raise ValueError(f"action_repeat={action_repeat} needs a Task, before it is batched")
        return env
    if isinstance(env, Task):
        limit = env.spec.max_steps if max_steps is None else max_steps
        task = env._replace(spec=env.spec._replace(max_steps=limit))
    else:
        make_task = from_playground if hasattr(env, "mjx_model") else from_brax
        task = make_task(env, max_steps, obs_key, actor_obs, critic_obs)
    return batch(repeat(task, action_repeat), pool_size)


def from_brax(
    env: Any,
    max_steps: int | None = None,
    obs_key: str = "state",
    actor_obs: str = "",
    critic_obs: str = "",
) -> Task:
    """Make a task of a Brax environment, or of any other with its protocol.

    max_steps: the time limit; needed where the environment states no episode_length. obs_key: of
    an obs that is a dict; it must be a vector. actor_obs, critic_obs: the keys of what actor and
    critic see, `obs_key` and the actor's where empty; where they differ the obs is the actor's and
    then the critic's. done is termination, unless the state's info has a flag `truncation` or
    `time_out`. Raises ValueError for what is missing, and for wrappers that
    do what `batch` does. Its returns compare with Brax's own, not with Gymnasium's.
    """
    system = getattr(env, "sys", None)
    visual = None
    if system is not None:
        visual = Visual(lambda: system.mj_model, lambda sim: sim.pipeline_state.q, env.dt)
    return _make_task(env, max_steps, Keys(obs_key, actor_obs, critic_obs), visual)


def from_playground(
    env: Any,
    max_steps: int | None = None,
    obs_key: str = "state",
    actor_obs: str = "",
    critic_obs: str = "",
) -> Task:
    """Make a task of a MuJoCo Playground environment; as `from_brax`, with its own time limit.

    Actions are clipped to [-1, 1], which is what Playground's environments expect.
    """
    visual = Visual(lambda: env.mj_model, lambda sim: sim.data.qpos, env.dt)
    return _make_task(env, max_steps, Keys(obs_key, actor_obs, critic_obs), visual)


def _make_task(env: Any, max_steps: int | None, keys: Keys, visual: Visual | None) -> Task:
    like = _example(env)
    sizes = [x.shape[0] for x in _vectors(like.obs, keys)]
    bare = type(getattr(env, "unwrapped", env))
    flags = TRUNCATIONS[: 1 if bare.__module__ in FALLS_BY_TIME_OUT else None]

    def told(state: Any) -> TaskStep:
        done, timed = jnp.asarray(state.done, bool), jnp.zeros((), bool)
        info = getattr(state, "info", {})
        for flag in flags:
            timed |= jnp.asarray(info.get(flag, False), bool)
        vectors, sim = _vectors(state.obs, keys), _hide(state, like)
        obs = vectors[0] if len(vectors) == 1 else jnp.concatenate(vectors)
        return TaskStep(sim, obs, state.reward, terminated=done & ~timed, truncated=done & timed)

    def reset(key: jax.Array) -> TaskStep:
        return told(env.reset(jax.random.key_data(key)))  # some know only the untyped keys

    def step(sim: Any, action: jax.Array) -> TaskStep:
        return told(env.step(_shown(sim, like), action))

    spec = EnvSpec(bare.__name__, sum(sizes), int(env.action_size), _limit(env, max_steps))
    if len(sizes) > 1:
        spec = spec._replace(actor_obs=(0, sizes[0]), critic_obs=(sizes[0], sum(sizes)))
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
    return checked_limit(next((n for n in (max_steps, *stated) if n is not None), None))


def _vectors(obs: Any, keys: Keys) -> list[Any]:
    """Take the vectors out of an obs, by key where it is a dict: one where actor and critic see the
    same, and else the actor's and the critic's."""
    if not isinstance(obs, Mapping):
        if keys.actor_obs or keys.critic_obs:
            raise ValueError(
                f"actor_obs={keys.actor_obs!r}, critic_obs={keys.critic_obs!r}: the obs is no dict "
                "and has no keys; leave them out"
            )
        return [_checked(obs)]
    for option, key in keys.seen.items():
        if key not in obs:
            shapes = ", ".join(f"{name} {x.shape}" for name, x in obs.items())
            raise ValueError(f"{option}={key!r} is not in the obs; it has {shapes}")
    return [_checked(obs[key]) for key in keys.seen.values()]


def _checked(obs: Any) -> Any:
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
