"""Evaluation: whole episodes of the sampled policy, each in an environment of its own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drac_jax.types import Environment, EnvState


class Episodes(NamedTuple):
    """N finished episodes.

    returns: [N]; lengths: [N], env steps; goals: [N] int32, goal reached (0 none, 1..G);
    broken: [N] bool, ended by the NaN guard; paths: [N, T + 1, O], observations of the episode,
    the last one repeated to its end, or [N, 0, O] where not asked for; records: leaves
    [N, T, ...], of the states acted upon (the first `lengths` are the episode's), if asked for.
    """

    returns: jax.Array
    lengths: jax.Array
    goals: jax.Array
    broken: jax.Array
    paths: jax.Array
    records: Any = None


Evaluate = Callable[[Any, jax.Array], Episodes]


def make_evaluate(
    env: Environment,
    act: Callable[[Any, jax.Array, jax.Array], jax.Array],
    num_episodes: int,
    record_paths: bool = False,
    record: Callable[[EnvState], Any] | None = None,
) -> Evaluate:
    """Make (agent, key) -> Episodes. Each environment plays exactly one episode, so short ones
    are not favoured. act: (agent, obs [N, O], key) -> action [N, A]; record: what to keep of
    the state in every step, leaves [N, ...]."""

    def evaluate(agent: Any, key: jax.Array) -> Episodes:
        reset_key, key = jax.random.split(key)
        first = env.reset(jax.random.split(reset_key, num_episodes))
        zeros = jnp.zeros(num_episodes, jnp.int32)
        start = Episodes(zeros * 0.0, zeros, zeros, zeros > 0, first.obs)

        def step(carry: tuple, key: jax.Array) -> tuple[tuple, Any]:
            state, live, episodes = carry
            recorded = None if record is None else record(state)
            state = env.step(state, act(agent, state.obs, key))
            episodes = _record(episodes, state, live)
            path = episodes.paths if record_paths else None
            return (state, live & ~state.done, episodes), (path, recorded)

        keys = jax.random.split(key, env.spec.max_steps)
        carry = (first, ~start.broken, start)
        (last, _, episodes), (path, records) = jax.lax.scan(step, carry, keys)
        if env.release is not None:
            env.release(last)
        records = jax.tree.map(lambda x: x.swapaxes(0, 1), records)
        if not record_paths:
            return episodes._replace(paths=first.obs[:, None][:, :0], records=records)
        paths = jnp.concatenate([first.obs[None], path]).swapaxes(0, 1)
        return episodes._replace(paths=paths, records=records)

    return evaluate


def _record(episodes: Episodes, state: EnvState, live: jax.Array) -> Episodes:
    """Take over one step of the episodes that are still running; `paths` holds the last obs."""
    obs = jnp.where(live[:, None], state.info["terminal_obs"], episodes.paths)
    return Episodes(
        returns=jnp.where(live, state.info["episode_return"], episodes.returns),
        lengths=jnp.where(live, state.info["episode_length"], episodes.lengths),
        goals=jnp.where(live, state.info["goal"], episodes.goals),
        broken=jnp.where(live, state.info["broken"], episodes.broken),
        paths=obs,
    )
