"""Environments of Gymnasium that are alive on the host, each with a number that JAX holds."""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces.utils import flatten

MOST_ALIVE = 4096  # of what was reset and is stepped no more, without having been released


class Outcome(NamedTuple):
    """A step. obs: [O], already the next episode's where it ended; last: [O], the episode's."""

    obs: np.ndarray
    last: np.ndarray
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    broken: bool = False


@dataclass
class Living:
    """A simulator in use. ticks: steps since its reset, which tell a copy of its state that is
    stepped a second time from the state that it is in; obs: [O], what it showed last."""

    env: gymnasium.Env
    obs: np.ndarray
    ticks: int = 0


@dataclass
class Simulators:
    """Every simulator of one environment.

    make: () -> one more; space: of what `flatten` makes an obs; low, high: [A], the action's box,
    of `shape` and `dtype`.

    A number that is not known, or whose ticks differ, is that of a simulator which was: of another
    process, or of a state that went on without it. Its episode is over, and counts as broken: no
    one learns from the step that begins another.
    """

    make: Callable[[], gymnasium.Env]
    space: gymnasium.Space
    box: gymnasium.spaces.Box
    idle: list[gymnasium.Env] = field(default_factory=list)
    living: OrderedDict[int, Living] = field(default_factory=OrderedDict)

    def begin(self, seeds: Sequence[int]) -> list[tuple[int, np.ndarray]]:
        """Begin episodes. -> a number for each, and its obs."""
        return [self._begin(seed) for seed in seeds]

    def step(self, number: int, ticks: int, action: np.ndarray) -> tuple[int, int, Outcome]:
        """Step one. action: [A] in [-1, 1]. -> the number and the ticks from now on, and what
        came of it."""
        one = self.living.get(number)
        if one is None or one.ticks != ticks:
            number, obs = self._begin(secrets.randbits(32))
            return number, 0, Outcome(obs, obs, truncated=True, broken=True)
        self.living.move_to_end(number)
        one.ticks += 1
        obs, reward, terminated, truncated, _ = one.env.step(self._scaled(action))
        last, reward = self._flat(obs), float(reward)
        if broken := not (np.isfinite(last).all() and np.isfinite(reward)):
            last, reward, terminated, truncated = one.obs, 0.0, False, True
        one.obs = self._flat(one.env.reset()[0]) if terminated or truncated else last
        done = bool(terminated), bool(truncated and not terminated)
        return number, one.ticks, Outcome(one.obs, last, reward, *done, broken)

    def release(self, numbers: Sequence[int]) -> None:
        """Take simulators back; others will begin with them."""
        gone = [self.living.pop(int(number), None) for number in numbers]
        self.idle += [one.env for one in gone if one is not None]

    def _begin(self, seed: int) -> tuple[int, np.ndarray]:
        env = self.idle.pop() if self.idle else self.make()
        while len(self.living) >= MOST_ALIVE:
            self.living.popitem(last=False)[1].env.close()
        obs = self._flat(env.reset(seed=seed)[0])
        number = secrets.randbits(48)  # so that those of another process are not taken for ours
        self.living[number] = Living(env, obs)
        return number, obs

    def _flat(self, obs: Any) -> np.ndarray:
        return np.asarray(flatten(self.space, obs), np.float32).reshape(-1)

    def _scaled(self, action: np.ndarray) -> np.ndarray:
        low, high = self.box.low.astype(float), self.box.high.astype(float)
        share = (np.clip(action.astype(float), -1.0, 1.0) + 1.0) / 2.0
        scaled = low + share.reshape(self.box.shape) * (high - low)
        return np.clip(scaled, low, high).astype(self.box.dtype)
