"""Normalisation of observations and rewards by running statistics of the data collected.

The replay keeps what the environments gave, so that a transition is always read with the newest
statistics. These are part of the agent: a checkpoint has them, and so has the policy.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drac_jax.types import Algorithm, Metrics, Transition

# Stable-Baselines3's and Gymnasium's: of what is normalised, and added to variances.
CLIP = 10.0
EPS = 1e-8

Update = Callable[[Any, Transition, jax.Array], tuple[Any, Metrics]]


class Moments(NamedTuple):
    """Mean and variance of the values so far: [...] each. weight: [], how many they are; a float32
    stops growing at 2^24 times the values of a step, and new ones then never weigh less."""

    weight: jax.Array
    mean: jax.Array
    var: jax.Array


class NormalizedAgent(NamedTuple):
    """An agent, and the moments of the observations that it has acted upon: mean, var: [O]."""

    agent: Any
    obs: Moments

    @property
    def hparams(self) -> Any:
        """The hyperparameters of the agent within."""
        return self.agent.hparams


class RewardScaledAgent(NamedTuple):
    """An agent, and what its rewards are divided by. returns: [E], discounted, of the running
    episodes so far; moments: of all their values, mean, var: []."""

    agent: Any
    returns: jax.Array
    moments: Moments

    @property
    def hparams(self) -> Any:
        """The hyperparameters of the agent within."""
        return self.agent.hparams


def no_moments(shape: tuple[int, ...]) -> Moments:
    """Make the moments of no values, which normalise nothing."""
    return Moments(jnp.zeros(()), jnp.zeros(shape), jnp.ones(shape))


def merge(moments: Moments, values: jax.Array, valid: jax.Array) -> Moments:
    """Take in the valid ones of E values (Chan et al. 1979). values: [E, ...]; valid: [E] bool."""
    mask = valid.reshape(-1, *[1] * (values.ndim - 1))
    values, new = jnp.where(mask, values, 0.0), valid.sum().astype(jnp.float32)
    mean = values.sum(axis=0) / jnp.maximum(new, 1.0)
    var = jnp.where(mask, jnp.square(values - mean), 0.0).sum(axis=0) / jnp.maximum(new, 1.0)
    weight = moments.weight + new
    share = new / jnp.maximum(weight, 1.0)
    delta = mean - moments.mean
    spread = (1.0 - share) * moments.var + share * var + share * (1.0 - share) * jnp.square(delta)
    return Moments(weight, moments.mean + share * delta, spread)


def standardize(moments: Moments, values: jax.Array) -> jax.Array:
    """Map values to mean 0 and variance 1, clipped to +-10. values: [..., *shape of the mean]."""
    scaled = (values - moments.mean) * jax.lax.rsqrt(moments.var + EPS)
    return jnp.clip(scaled, -CLIP, CLIP)


def with_scaled_rewards(algorithm: Algorithm, scale: float) -> Algorithm:
    """Make of an algorithm the one that learns from rewards times a constant."""

    def scaled(update: Update) -> Update:
        return lambda agent, minibatches, key: update(
            agent, minibatches._replace(reward=scale * minibatches.reward), key
        )

    slow_update = algorithm.slow_update and scaled(algorithm.slow_update)
    return algorithm._replace(update=scaled(algorithm.update), slow_update=slow_update)


def with_normalized_rewards(algorithm: Algorithm, num_envs: int) -> Algorithm:
    """Make of an algorithm the one that learns from rewards divided by the running standard
    deviation of the discounted return, clipped to +-10.

    As Gymnasium and Stable-Baselines3 do it: the return is that of the running episode up to each
    env step, from its beginning, discounted by the agent's gamma. A step that broke enters none.
    """

    def init(key: jax.Array, hparams: Any, obs_size: int) -> RewardScaledAgent:
        agent = algorithm.init(key, hparams, obs_size)
        return RewardScaledAgent(agent, jnp.zeros(num_envs), no_moments(()))

    def divided(update: Update) -> Update:
        def wrapped(agent: RewardScaledAgent, minibatches: Transition, key: jax.Array) -> tuple:
            reward = minibatches.reward * jax.lax.rsqrt(agent.moments.var + EPS)
            seen = minibatches._replace(reward=jnp.clip(reward, -CLIP, CLIP))
            inner, metrics = update(agent.agent, seen, key)
            return agent._replace(agent=inner), metrics

        return wrapped

    def observe(
        agent: RewardScaledAgent, transition: Transition, done: jax.Array, broken: jax.Array
    ) -> RewardScaledAgent:
        returns = agent.hparams.gamma * agent.returns + transition.reward
        moments = merge(agent.moments, returns, ~broken)
        returns = jnp.where(done | broken, 0.0, returns)
        inner = _observed(algorithm, agent.agent, transition, done, broken)
        return RewardScaledAgent(inner, returns, moments)

    return algorithm._replace(
        init=init,
        act=lambda agent, obs, key: algorithm.act(agent.agent, obs, key),
        mode=lambda agent, obs: algorithm.mode(agent.agent, obs),
        update=divided(algorithm.update),
        slow_update=algorithm.slow_update and divided(algorithm.slow_update),
        observe=observe,
    )


def with_normalized_obs(algorithm: Algorithm) -> Algorithm:
    """Make of an algorithm the one that sees its observations standardised.

    The statistics are of the observations acted upon while collecting data, of all environments
    alike but those that the NaN guard replaced in that step; evaluations only use them.
    """

    def init(key: jax.Array, hparams: Any, obs_size: int) -> NormalizedAgent:
        return NormalizedAgent(algorithm.init(key, hparams, obs_size), no_moments((obs_size,)))

    def act(agent: NormalizedAgent, obs: jax.Array, key: jax.Array) -> jax.Array:
        return algorithm.act(agent.agent, standardize(agent.obs, obs), key)

    def decide(agent: NormalizedAgent, obs: jax.Array, latent: Any) -> jax.Array:
        assert algorithm.decide is not None
        return algorithm.decide(agent.agent, standardize(agent.obs, obs), latent)

    def mode(agent: NormalizedAgent, obs: jax.Array) -> jax.Array:
        return algorithm.mode(agent.agent, standardize(agent.obs, obs))

    def observe(
        agent: NormalizedAgent, transition: Transition, done: jax.Array, broken: jax.Array
    ) -> NormalizedAgent:
        inner = _observed(algorithm, agent.agent, transition, done, broken)
        return NormalizedAgent(inner, merge(agent.obs, transition.obs, ~broken))

    return algorithm._replace(
        init=init,
        act=act,
        decide=algorithm.decide and decide,
        mode=mode,
        update=_standardized(algorithm.update),
        slow_update=algorithm.slow_update and _standardized(algorithm.slow_update),
        observe=observe,
    )


def _observed(algorithm: Algorithm, agent: Any, *step: Any) -> Any:
    return agent if algorithm.observe is None else algorithm.observe(agent, *step)


def _standardized(update: Update) -> Update:
    """Let an update of the agent within see standardised observations."""

    def wrapped(agent: NormalizedAgent, minibatches: Transition, key: jax.Array) -> tuple:
        seen = minibatches._replace(
            obs=standardize(agent.obs, minibatches.obs),
            next_obs=standardize(agent.obs, minibatches.next_obs),
        )
        inner, metrics = update(agent.agent, seen, key)
        return agent._replace(agent=inner), metrics

    return wrapped
