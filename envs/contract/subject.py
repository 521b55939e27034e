"""What the rules of the contract look at: an environment, compiled and played once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import numpy as np

from drac_jax.types import Environment, EnvState
from envs.batching import Task, batch

NUM_ENVS = 4
LONG_PLAY, LONGEST_PLAY = 1000, 5000  # steps

Played = dict[str, np.ndarray]


class NotApplicable(Exception):
    """Why a rule has nothing to say about an environment."""


@dataclass(frozen=True, eq=False)
class Subject:
    """An environment with what all rules share: one compiled reset, one step and one long play.

    task: what the environment was batched from; None for one that is batched by itself.
    traces: grows whenever the compiled step is traced.
    """

    env: Environment
    task: Task | None = None
    traces: list[int] = field(default_factory=list)

    @cached_property
    def reset(self) -> Callable[[jax.Array], EnvState]:
        """Compile the reset."""
        return jax.jit(self.env.reset)

    @cached_property
    def step(self) -> Callable[[EnvState, Any], EnvState]:
        """Compile the step."""

        def counted(state: EnvState, action: jax.Array) -> EnvState:
            self.traces.append(1)
            return self.env.step(state, action)

        return jax.jit(counted)

    def plan(self, steps: int) -> np.ndarray:
        """Draw actions [T, E, A]: none at all for the first environment, of the full range for
        the last, so that some episodes last and others end."""
        shape = (steps, NUM_ENVS, self.env.spec.action_size)
        scale = np.linspace(0.0, 1.0, NUM_ENVS, dtype=np.float32)[:, None]
        return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32) * scale

    def play(self, plan: np.ndarray, keys: jax.Array) -> Played:
        """Play actions [T, E, A] from a reset. -> obs, reward, done and info, each [T + 1, E]."""
        state = self.reset(keys)
        rows = [shown(state)]
        for action in plan:
            state = self.step(state, action)
            rows.append(shown(state))
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    @cached_property
    def played(self) -> Played:
        """Play until every environment has met its time limit, and beyond."""
        limit = self.env.spec.max_steps
        steps = limit if LONG_PLAY < limit <= LONGEST_PLAY else min(4 * limit, LONG_PLAY)
        return self.play(self.plan(steps + 1), make_keys())


def make_subject(env: Environment | Task) -> Subject:
    """Make what the rules run on. Raises ValueError for what is no environment of ours."""
    if isinstance(env, Task):
        return Subject(batch(env), env)
    if not isinstance(env, Environment):
        kind = type(env).__name__
        raise ValueError(f"env is {kind}, not an Environment or a Task; use envs.adapt(env) first")
    # `batch` leaves its task in the partial; its unbatched shapes say more than the batched ones.
    parts = getattr(env.step, "args", ())
    return Subject(env, next((part for part in parts if isinstance(part, Task)), None))


def make_keys(number: int = NUM_ENVS, seed: int = 0) -> jax.Array:
    """Make the keys of a reset. -> [number]."""
    return jax.random.split(jax.random.key(seed), number)


def shown(state: EnvState) -> Played:
    """Copy what an environment shows of itself to the host."""
    seen = {"obs": state.obs, "reward": state.reward, "done": state.done, **state.info}
    return jax.device_get(seen)


def leaves_of(tree: Any) -> dict[str, Any]:
    """Name the leaves of a pytree: `info['goal']`, `internal.sim[0]`."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path).lstrip(".") or "it": leaf for path, leaf in found}
