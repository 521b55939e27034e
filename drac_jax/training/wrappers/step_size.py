"""How far updates go: gradients clipped by their norm, and learning rates on a schedule."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from drac_jax.types import Algorithm, ClippedState, Metrics, Trainable, Transition

# The learning rates among an algorithm's hyperparameters; `svgd_lr` is part of a policy.
RATES = ("actor_lr", "critic_lr", "alpha_lr")

Factor = Callable[[jax.Array], jax.Array | float]


class ScheduledAgent(NamedTuple):
    """An agent, whose hyperparameters stay as they were given, and the updates that it has taken:
    [], int32."""

    agent: Any
    updates: jax.Array

    @property
    def hparams(self) -> Any:
        """The hyperparameters of the agent within."""
        return self.agent.hparams


def with_clipped_gradients(algorithm: Algorithm, max_norm: float) -> Algorithm:
    """Make of an algorithm the one whose gradients of the actor, and those of both critics
    together, are scaled down to the norm `max_norm` where they are longer."""

    def clipped(trainable: Trainable) -> Trainable:
        limit = jnp.asarray(max_norm, jnp.float32)
        return trainable._replace(opt_state=ClippedState(limit, trainable.opt_state))

    def init(key: jax.Array, hparams: Any, obs_size: int) -> Any:
        agent = algorithm.init(key, hparams, obs_size)
        return agent._replace(actor=clipped(agent.actor), critic=clipped(agent.critic))

    return algorithm._replace(init=init)


def make_factor(
    kind: Literal["constant", "linear", "cosine"], updates: int, warmup: int = 0, final: float = 0.0
) -> Factor:
    """Make (updates taken so far) -> what the learning rates are multiplied by: from 0 to 1 in the
    first `warmup` updates, from then on to `final` at `updates`, or always 1 where constant.

    Raises ValueError where the warm-up leaves no update.
    """
    if (rest := updates - warmup) < 1:
        raise ValueError(
            f"lr_warmup={warmup} must be below {updates}, the updates of the budget; use "
            f"lr_warmup={updates // 10}"
        )
    then: Factor = {
        "constant": lambda: optax.constant_schedule(1.0),
        "linear": lambda: optax.linear_schedule(1.0, final, rest),
        "cosine": lambda: optax.cosine_decay_schedule(1.0, rest, final),
    }[kind]()
    if warmup == 0:
        return then
    return optax.join_schedules([optax.linear_schedule(0.0, 1.0, warmup), then], [warmup])


def with_scheduled_rates(algorithm: Algorithm, factor: Factor) -> Algorithm:
    """Make of an algorithm the one whose learning rates are multiplied by a factor of the number of
    updates before the call. The agent's hyperparameters are fields of it, not of one within."""

    def scheduled(update: Callable, count: int) -> Callable:
        def at_rates(agent: ScheduledAgent, minibatches: Transition, key: jax.Array) -> tuple:
            hparams, now = agent.hparams, jnp.asarray(factor(agent.updates), jnp.float32)
            rates = {name: now * getattr(hparams, name) for name in RATES if hasattr(hparams, name)}
            inner = agent.agent._replace(hparams=hparams.replace(**rates))
            inner, metrics = update(inner, minibatches, key)
            inner = inner._replace(hparams=hparams)
            return ScheduledAgent(inner, agent.updates + count), _with_factor(metrics, now, count)

        return at_rates

    def init(key: jax.Array, hparams: Any, obs_size: int) -> ScheduledAgent:
        agent = algorithm.init(key, hparams, obs_size)
        return ScheduledAgent(agent, jnp.zeros((), jnp.int32))

    return algorithm._replace(
        init=init,
        act=lambda agent, obs, key: algorithm.act(agent.agent, obs, key),
        mode=lambda agent, obs: algorithm.mode(agent.agent, obs),
        update=scheduled(algorithm.update, algorithm.num_minibatches),
        slow_update=algorithm.slow_update and scheduled(algorithm.slow_update, 0),
    )


def _with_factor(metrics: Metrics, factor: jax.Array, count: int) -> Metrics:
    """Report the factor beside an update's metrics; a slow update counts for none."""
    return metrics | {"schedule/lr_factor": factor} if count else metrics
