"""A policy played in Gymnasium's own environment, whose physics, observations and rewards are not
ours."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np

Policy = Callable[[Any, jax.Array], jax.Array]


class Played(NamedTuple):
    """N finished episodes. returns: [N]; lengths: [N], env steps."""

    returns: np.ndarray
    lengths: np.ndarray


def play(policy: Policy, name: str, episodes: int, seed: int) -> Played:
    """Play whole episodes side by side, the i-th reset with seed + i.

    policy: (obs [N, O], key) -> action [N, A] in [-1, 1], scaled to the environment's box. name: of
    Gymnasium, as `Ant-v4`.
    """
    gymnasium.logger.min_level = gymnasium.logger.ERROR  # it says that v4 is old
    envs = [gymnasium.make(name) for _ in range(episodes)]
    obs = np.stack([env.reset(seed=seed + i)[0] for i, env in enumerate(envs)])
    box = envs[0].action_space
    assert isinstance(box, gymnasium.spaces.Box)
    returns, lengths = np.zeros(episodes), np.zeros(episodes, int)
    live, key = np.ones(episodes, bool), jax.random.key(seed)
    while live.any():
        key, act_key = jax.random.split(key)
        action = np.asarray(policy(np.asarray(obs, np.float32), act_key), np.float64)
        scaled = box.low + (np.clip(action, -1.0, 1.0) + 1.0) / 2.0 * (box.high - box.low)
        for i in np.flatnonzero(live):
            obs[i], reward, terminated, truncated, _ = envs[i].step(scaled[i])
            returns[i] += float(reward)
            lengths[i] += 1
            live[i] = not (terminated or truncated)
    for env in envs:
        env.close()
    return Played(returns, lengths)
