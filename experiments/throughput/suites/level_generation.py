"""MarioLevelGen's env steps per second, beside one environment in NumPy and dictionaries."""

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

import envs
from envs.mario.decoder.network import load_weights, module_of
from envs.mario.level_gen import SHIPPED_DECODER
from experiments.throughput import timing
from experiments.throughput.contenders.numpy_levels import NumpyLevelGen
from experiments.throughput.suites.env_steps import contender

REWARDS = ("multifacet", "puzzle")
STEPS = 8  # of all environments in one timed call
PLAIN_STEPS = 100  # of the one in NumPy


@dataclass(frozen=True)
class Options(timing.Options):
    """MarioLevelGen's env steps per second, beside one environment in NumPy and dictionaries.

    Example: python -m experiments bench mario
    """

    num_envs: int = 256  # environments that step together
    decoder: Path = SHIPPED_DECODER  # a file of weights


def plain_contender(reward: str, decoder: Path) -> timing.Contender:
    """Make steps of the one environment in NumPy, with random actions."""
    draw = np.random.default_rng(0)
    first, actions = (
        draw.uniform(-1.0, 1.0, (number, 20)).astype(np.float32) for number in (5, PLAIN_STEPS)
    )
    plain = NumpyLevelGen(jax.device_get(load_weights(decoder)), first, reward)

    def call() -> float:
        return sum(plain.step(action)[1] for action in actions)

    return timing.Contender(f"{reward}, NumPy and dictionaries, 1 environment", call, PLAIN_STEPS)


def measure(options: Options) -> None:
    """Run the suite."""
    pairs = [
        (
            plain_contender(reward, options.decoder),
            contender(
                f"{reward}, {options.num_envs} environments",
                envs.make("mario", reward=reward, decoder=options.decoder),
                options.num_envs,
                STEPS,
            ),
        )
        for reward in REWARDS
    ]
    timings = timing.side_by_side([c for pair in pairs for c in pair], options.repeats)
    module = module_of(load_weights(options.decoder))
    lines = [
        f"Random actions, env steps per second: median and range of {options.repeats}. "
        f"Decoder: widths {module.widths}, attention {module.attention}.",
        "",
        "| environment | env steps/s, median | min - max | times the one in NumPy |",
        "| --- | ---: | ---: | ---: |",
    ]
    for plain, ours in zip(timings[::2], timings[1::2], strict=True):
        lines += [_row(plain, plain), _row(ours, plain)]
    text = "\n".join(lines)
    content = {t.name: t.seconds for t in timings} | {"num_envs": options.num_envs}
    print(text)
    print(f"written to {timing.save(options.out, 'mario', content, text)}")


def _row(measured: timing.Timing, plain: timing.Timing) -> str:
    rate, low, high = (
        1 / s for s in (measured.median, max(measured.seconds), min(measured.seconds))
    )
    ratio = plain.median / measured.median
    return f"| {measured.name} | {rate:,.0f} | {low:,.0f} - {high:,.0f} | {ratio:.1f} |"
