"""Training from scratch until a return, one contender after another on the same cores.

All follow one rule: the mean return of the last ten training episodes that ended, in the order in
which they ended, is the target or more. Every training is a process of its own, and its clock
starts with the process: imports and compiling count, and are stated apart. No program is taken from
the compilation cache.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.throughput import return_curve, timing
from experiments.throughput.contenders.contender_process import ContenderProcess

WINDOW = 10  # episodes
OURS = "experiments.throughput.contenders.our_loop"
NO_CACHE = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
COLUMNS = ("seconds", "cpu_s", "env_steps", "updates")
Start = Callable[[int], ContenderProcess]  # of a seed


class Goal(NamedTuple):
    """The mean return to reach, the minutes of a training at most, and how many seeds there are."""

    target: float
    minutes: float
    seeds: int


@dataclass(frozen=True)
class Training:
    """One seed of a contender. ready: seconds and cpu_s before the first env step; reached: the
    point of the curve at which it had the target, None where it never had; ended: the last."""

    seed: int
    ready: dict[str, Any]
    curve: list[dict[str, Any]]
    reached: return_curve.Point | None

    @property
    def ended(self) -> return_curve.Point:
        """Return the last point, or what was spent where no episode ended."""
        return self.curve[-1] if self.curve else {"env_steps": 0, "updates": 0} | self.ready

    def record(self) -> dict[str, Any]:
        """Keep what a reader may want to draw: the mean of every ten episodes."""
        ends = self.curve[WINDOW - 1 :: WINDOW]
        kept: dict[str, Any] = {name: [point[name] for point in ends] for name in COLUMNS}
        means = return_curve.means(self.curve, WINDOW)[::WINDOW]
        kept["mean_return"] = [round(mean, 1) for mean in means]
        parts = {"seed": self.seed, "ready": self.ready, "reached": self.reached}
        return parts | {"ended": self.ended, "episodes": len(self.curve), "curve": kept}


def ours(experiment: str, preset: str) -> Start:
    """Train ours."""
    words = ["-m", OURS, experiment, f"--preset={preset}"]
    return lambda seed: ContenderProcess(sys.executable, [*words, f"--seed={seed}"], NO_CACHE)


def theirs(python: str | None, script: Path, method: str, env: str) -> Start:
    """Train PyTorch's, with a replay as large as ours."""
    words = [str(script), "--train", f"--method={method}", f"--env={env}", "--capacity=1000000"]
    words.append(f"--threads={timing.cores()}")
    return lambda seed: ContenderProcess(python, [*words, f"--seed={seed}"])


def train(start: Start, seed: int, goal: Goal) -> Training:
    """Train one seed until it has the target, or for so long. Raises ValueError, with what it
    said, where it breaks down."""
    began = time.perf_counter()
    lines = start(seed).lines(60.0 * goal.minutes)
    ready, curve, reached = {"seconds": 60.0 * goal.minutes}, [], None
    for number, line in enumerate(lines):
        point = {"seconds": round(time.perf_counter() - began, 2)} | line
        if number == 0:
            ready = point
            continue
        curve.append(point)
        reached = return_curve.first_at(curve[-WINDOW:], goal.target, WINDOW)
        if reached is not None:
            break
    lines.close()
    return Training(seed, ready, curve, reached)


def race(starts: dict[str, Start], goal: Goal) -> Iterator[tuple[str, Training | str]]:
    """Train every contender, one after another, all of them one seed before a second. -> its name,
    with the training, or with why it is left out."""
    waiting = list(starts)
    for seed in range(goal.seeds):
        for name in tuple(waiting):
            try:
                yield name, train(starts[name], seed, goal)
            except ValueError as error:
                waiting.remove(name)
                yield name, str(error)


def _said(training: Training, target: float) -> str:
    spent, best = training.ended, return_curve.best(training.curve, WINDOW)
    what = f"return {target:,.0f}" if training.reached else f"best return {best:,.0f}"
    return f"{what} after {spent['seconds']:,.0f} s, {spent['env_steps']:,} env steps"


def table(done: dict[str, list[Training]]) -> str:
    """Write a row for each contender: medians over the seeds that had the target, or over all
    where none had."""
    heads = ["contender", "reached", "s", "CPU s", "of it before step 1", "env steps", "updates"]
    rows = [heads + ["best mean of ten"], ["---"] + 7 * ["---:"]]
    for name, trained in done.items():
        counted = [t for t in trained if t.reached] or trained
        points = [t.reached or t.ended for t in counted]
        middle = [_median([p.get(column) for p in points]) for column in COLUMNS]
        start = _median([t.ready.get("cpu_s") for t in counted])
        best = _median([return_curve.best(t.curve, WINDOW) for t in trained])
        reached = f"{sum(t.reached is not None for t in trained)} of {len(trained)}"
        rows.append([name, reached, *middle[:2], start, *middle[2:], best])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _median(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.median(known):,.0f}" if known else "-"


def run(folder: Path, suite: str, task: str, starts: dict[str, Start], goal: Goal) -> None:
    """Train all. The table and the record are written after each training, so that one that is
    interrupted leaves those before it. suite: the start of their names."""
    done: dict[str, list[Training]] = {}
    left_out: dict[str, str] = {}
    load = {"before": os.getloadavg()}
    for name, result in race(starts, goal):
        if isinstance(result, str):
            left_out[name] = result
            print(f"Left out: {name} ({result}).", flush=True)
        else:
            done.setdefault(name, []).append(result)
            print(f"{name}, seed {result.seed}: {_said(result, goal.target)}.", flush=True)
        load["after"] = os.getloadavg()
        content = {
            **{name: [t.record() for t in trained] for name, trained in done.items()},
            **goal._asdict(),
            "cores": timing.cores(),
            "load": load,
            "left_out": left_out,
        }
        text = describe(task, goal, done, left_out, load)
        path = timing.save(folder, timing.named(suite), content, text)
    print(f"{text}\nwritten to {path}")


def describe(
    task: str,
    goal: Goal,
    done: dict[str, list[Training]],
    left_out: dict[str, str],
    load: dict[str, tuple[float, float, float]],
) -> str:
    """Write the table, how it was measured, and who is missing."""
    lines = [
        f"{task}, from scratch until the mean return of the last {WINDOW} finished training "
        f"episodes is {goal.target:,.0f}, or for {goal.minutes:g} minutes; {goal.seeds} seed(s), "
        f"batch 256, networks 256x2, float32, {timing.cores()} core(s).",
        "",
        table(done),
        "",
        "Seconds and CPU seconds are those since the start of the process, imports and (ours) "
        "compiling included.",
        f"Processes that wanted one of the machine's {os.cpu_count()} core(s), average of a "
        f"minute: {load['before'][0]:.1f} before, {load['after'][0]:.1f} after.",
        *(f"Left out: {name} ({why})." for name, why in left_out.items()),
    ]
    return "\n".join(lines)
