"""Tasks whose answers are known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.types import EnvSpec, Transition
from envs import Task, TaskStep
from envs.mario.decoder.network import Decoder


def countdown(longest: int = 5) -> Task:
    """An episode of n steps, n drawn from 1..longest; obs: steps left; reward: the same."""

    def reset(key: jax.Array) -> TaskStep:
        left = jax.random.randint(key, (), 1, longest + 1).astype(jnp.float32)
        return TaskStep(sim=left, obs=left[None])

    def step(left: jax.Array, action: jax.Array) -> TaskStep:
        return TaskStep(left - 1.0, (left - 1.0)[None], reward=left, terminated=left == 1.0)

    return Task(EnvSpec("countdown", 1, 1, longest + 3), reset, step)


def two_armed_bandit() -> Task:
    """One step an episode; reward: -20 times the squared distance to the nearer of -0.5
    and 0.5."""
    obs = jnp.ones(1)

    def step(sim: jax.Array, action: jax.Array) -> TaskStep:
        reward = -20.0 * jnp.square(jnp.abs(action[0]) - 0.5)
        return TaskStep(sim, obs, reward=reward, terminated=True)

    return Task(EnvSpec("bandit", 1, 1, 1), lambda key: TaskStep(jnp.zeros(()), obs), step)


def aiming(scale: float = 1.0) -> Task:
    """One step an episode; obs: scale times a target in [-1, 1]; reward: -20 times the squared
    distance of the action to the target."""

    def reset(key: jax.Array) -> TaskStep:
        target = jax.random.uniform(key, (1,), minval=-1.0)
        return TaskStep(target, scale * target)

    def step(target: jax.Array, action: jax.Array) -> TaskStep:
        reward = -20.0 * jnp.square(action - target)[0]
        return TaskStep(target, scale * target, reward=reward, terminated=True)

    return Task(EnvSpec("aiming", 1, 1, 1), reset, step)


def half_seen() -> Task:
    """Four steps an episode; obs: noise, a target in [-1, 1] that actor and critics see, noise that
    only the critics see; reward: minus the squared distance of the action to the target."""
    spec = EnvSpec("half_seen", 3, 1, 4, actor_obs=(0, 2), critic_obs=(1, 3))

    def reset(key: jax.Array) -> TaskStep:
        obs = jax.random.uniform(key, (3,), minval=-1.0)
        return TaskStep(obs, obs)

    def step(obs: jax.Array, action: jax.Array) -> TaskStep:
        reward = -jnp.square(action[0] - obs[1])
        after = obs.at[2].set(0.5 * obs[2] + 0.1 * action[0])
        return TaskStep(after, after, reward=reward)

    return Task(spec, reset, step)


def obedient(max_steps: int) -> Task:
    """Does what it is told: an action above 0.5 breaks it, one below -0.5 ends the episode; obs:
    steps taken; reward: 10 times that."""

    def step(count: jax.Array, action: jax.Array) -> TaskStep:
        count = jnp.where(action[0] > 0.5, jnp.nan, count + 1.0)
        return TaskStep(count, count[None], reward=10.0 * count, terminated=action[0] < -0.5)

    start = TaskStep(jnp.zeros(()), jnp.zeros(1))
    return Task(EnvSpec("obedient", 1, 1, max_steps), lambda key: start, step)


def level_decoder() -> dict[str, Any]:
    """Variables of a tiny decoder of levels with random weights: random tiles."""
    module = Decoder(widths=(8, 8, 8), attention=(False, False, True))
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(20))
    draw = np.random.default_rng(0)
    random = jax.tree.map(lambda x: draw.normal(size=x.shape).astype(np.float32), shapes)
    return random | {"batch_stats": jax.tree.map(np.abs, random["batch_stats"])}


def transition(discount: float) -> Transition:
    """Four transitions with rewards 0 to 3, of 3 observations and 2 actions."""
    return Transition(
        obs=jnp.ones((4, 3)),
        action=jnp.zeros((4, 2)),
        reward=jnp.arange(4.0),
        discount=jnp.full(4, discount),
        next_obs=jnp.ones((4, 3)),
    )
