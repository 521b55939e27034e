"""The time of one action on a CPU, of every method's policy: as JAX, in onnxruntime, in NumPy.

Ant's sizes: obs 27, action 8, networks 256x2, untrained: a policy takes the same time however good
it is. From NumPy arrays to a NumPy array, latents drawn before; onnxruntime has one thread.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from drac_jax.algorithms.registry import METHODS
from drac_jax.runs.export import onnx_file, policy_file
from drac_jax.types import EnvSpec
from experiments.throughput import timing

SPEC = EnvSpec("random observations", 27, 8, 1)
WAYS = ("JAX", "onnxruntime", "NumPy")
SECONDS = 0.1  # of a timed call, at least: it repeats the action as often as that takes
MOST_ACTIONS = 2_000  # of a timed call


@dataclass(frozen=True)
class Options(timing.Options):
    """The time of one action of every method: as JAX, in onnxruntime, in NumPy.

    Example: python -m experiments bench latency --one-core --only amortized sac
    """

    only: tuple[str, ...] = tuple(METHODS)  # methods, all if not named
    batches: tuple[int, ...] = (1, 1024)  # observations at once


def players(name: str, folder: Path) -> tuple[dict[str, Callable[..., Any]], list[int]]:
    """Export a method's policy as it starts. -> its function in each way, and the sizes of its
    inputs."""
    method = METHODS[name]
    algorithm = method.make(SPEC, method.options)
    agent = algorithm.init(jax.random.key(0), method.hparams, SPEC.obs_size)
    portable = policy_file.of_agent(algorithm, agent, SPEC, "sample")
    portable = portable._replace(about=portable.about | {"run": name})
    made: dict[str, Callable[..., Any]] = {"JAX": jax.jit(portable.function)}
    for way, to in (("onnxruntime", "onnx"), ("NumPy", "numpy")):
        made[way] = policy_file.write(portable, to, folder / f"{name}.{to}")
        policy_file.check(portable, made[way])
    return made, portable.sizes


def contender(label: str, play: Callable[..., Any], given: list[np.ndarray]) -> timing.Contender:
    """Make so many actions that a call takes its seconds; the first two compile and warm up."""

    def act() -> np.ndarray:
        return np.asarray(play(*given))

    act()
    (once,) = timing.side_by_side([timing.Contender(label, act)], 1)
    count = int(np.clip(SECONDS / once.median, 1, MOST_ACTIONS))

    def call() -> np.ndarray:
        for _ in range(count - 1):
            act()
        return act()

    return timing.Contender(label, call, count)


def measure(options: Options) -> None:
    """Run the suite."""
    timing.check_names("--only", options.only, METHODS)
    onnx_file.require()
    timing.pin(options.one_core)
    made, draw = [], np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            plays, sizes = players(name, Path(folder))
            for batch in options.batches:
                given = [draw.random((batch, size), np.float32) for size in sizes]
                made += [contender(f"{name} x {batch}, {w}", plays[w], given) for w in WAYS]
        timings = timing.side_by_side(made, options.repeats)
    text = (
        f"Milliseconds of an action of every row, obs {SPEC.obs_size}, action {SPEC.action_size}, "
        f"networks 256x2, {timing.cores()} core(s), median (least) of {options.repeats} repeats."
        f"\n\n{table(timings)}"
    )
    timing.report_suite(options.out, "latency", timings, text)


def table(timings: list[timing.Timing]) -> str:
    """Format medians and least times, in ms, as a Markdown table: a row for each method and
    batch."""
    rows: dict[str, list[str]] = {}
    for t in timings:
        cell = f"{t.median * 1e3:.3g} ({min(t.seconds) * 1e3:.3g})"
        rows.setdefault(t.name.rpartition(", ")[0], []).append(cell)
    lines = [
        f"| method x observations | {' | '.join(WAYS)} |",
        "| --- |" + " ---: |" * len(WAYS),
        *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()),
    ]
    return "\n".join(lines)
