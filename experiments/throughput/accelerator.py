"""Everything that is asked of one accelerator, in one go, with a short table at the end.

The suites `update` (at the paper's sizes and at large ones), `diversity` and `replay`; many seeds
at once; whole runs beside simulation alone; and the time until Ant's return reaches a target.
`--toy` does all of it at sizes of no meaning, to see that it works.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax

from drac_jax import report
from experiments.throughput import diversity, environments, replay, timing, update
from experiments.throughput.train import epoch, short_job, updates

LARGE = ["--batch", "32768", "--hidden", "512", "512", "512", "--calls", "5"]
TOY_LARGE = ["--batch", "64", "--hidden", "16", "16", "--calls", "1"]
TOY_DIVERSITY = ["--batch", "64", "--calls", "1"]
RUNS = {
    "PointMaze, one seed, default": ("pointmaze_simple_amortized", "default", 200),
    "Ant, gpu": ("ant_amortized", "gpu", 10),
    "Humanoid, gpu": ("humanoid_amortized", "gpu", 10),
}
TOY_RUNS = {"MultiGoal, fast": ("multigoal_amortized", "fast", 4)}
Row = tuple[str, str]


def many_seeds(count: int, repeats: int) -> list[Row]:
    """Measure the iterations of many seeds that train at once."""
    job = short_job("multigoal_amortized", "paper", 20, seeds=count)
    (measured,) = timing.side_by_side([epoch("members", job)], repeats)
    return [(f"{count} seeds, paper: seed-updates/s", f"{1 / measured.median:,.0f}")]


def methods(repeats: int) -> list[Row]:
    """Measure an update of diffusion beside one of amortized, one seed."""
    made = [
        updates(name, short_job(name, "paper", 20))
        for name in ("multigoal_amortized", "multigoal_diffusion")
    ]
    amortized, diffusion = timing.side_by_side(made, repeats)
    return [("diffusion / amortized, paper", f"{diffusion.median / amortized.median:.2f}")]


def whole_run(title: str, name: str, preset: str, iterations: int, repeats: int) -> list[Row]:
    """Measure env steps per second while training, and of the simulation alone."""
    job = short_job(name, preset, iterations)
    num_envs = job.config.train.num_envs
    both = [
        epoch("training", job),
        environments.contender("simulation", job.env, num_envs, iterations),
    ]
    training, simulation = timing.side_by_side(both, repeats)
    steps = num_envs * job.config.train.steps_per_iteration / training.median
    share = steps * simulation.median
    return [(f"{title}: env steps/s", f"{steps:,.0f} ({share:.0%} of simulation alone)")]


def time_to_return(name: str, preset: str, target: float, words: list[str]) -> list[Row]:
    """Train, in a process of its own, until an evaluation reaches the target; with compiling."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "experiments", "run", name, "--preset", preset]
        began = time.perf_counter()
        run = subprocess.Popen([*command, "--runs-dir", folder, *words], stdout=subprocess.DEVNULL)
        seen, reached = 0, None
        while run.poll() is None and reached is None:
            time.sleep(1.0)
            lines = [line for p in Path(folder).rglob(report.METRICS) for line in p.open()]
            returns = [json.loads(line)["eval/return"] for line in lines[seen:]]
            seen = len(lines)
            if any(value >= target for value in returns):
                reached = time.perf_counter() - began
        run.kill()
        run.wait()
    said = "not reached" if reached is None else f"{reached:.0f} s"
    return [(f"{name}, {preset}: return {target:,.0f}", said)]


def main(words: list[str]) -> None:
    """Run the suite."""
    parser = argparse.ArgumentParser(prog="make bench BENCH=accelerator", description=__doc__)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--torch-python", help="an interpreter that has torch")
    timing.add_arguments(parser)
    args = parser.parse_args(words)
    repeats = ["--repeats", str(args.repeats)]
    torch = ["--torch-python", args.torch_python] if args.torch_python else []

    def suite(run: Callable[[list[str]], None], name: str, *more: str) -> list[Row]:
        run([*more, *repeats, "--out", str(args.out / name)])
        return []

    runs = TOY_RUNS if args.toy else RUNS
    toy_words = ["--train.env-steps", "1000", "--train.epochs", "1", "--algorithm.hidden", "8", "8"]
    parts: dict[str, Callable[[], list[Row]]] = {
        "paper": partial(suite, update.main, "paper", *torch, *(TOY_LARGE if args.toy else [])),
        "large": partial(suite, update.main, "large", *torch, *(TOY_LARGE if args.toy else LARGE)),
        "diversity": partial(
            suite, diversity.main, "diversity", *(TOY_DIVERSITY if args.toy else [])
        ),
        "replay": partial(suite, replay.main, "replay") if not args.toy else list,
        "seeds": partial(many_seeds, 2 if args.toy else 64, args.repeats),
        "methods": list if args.toy else partial(methods, args.repeats),
        **{k: partial(whole_run, k, *run, args.repeats) for k, run in runs.items()},
        "time": partial(time_to_return, "multigoal_amortized", "fast", -1e3, toy_words)
        if args.toy
        else partial(time_to_return, "ant_amortized", "gpu", 5_000.0, []),
    }
    rows: list[Row] = []
    for name, part in parts.items():
        try:
            rows += part()
        except Exception as error:  # one part that breaks must not cost the others' figures
            rows.append((name, f"broke down: {str(error).splitlines()[0]}"))
    lines = ["| what | measured |", "| --- | ---: |", *(f"| {a} | {b} |" for a, b in rows)]
    content: dict[str, Any] = {"rows": rows, "device_kind": jax.devices()[0].device_kind}
    written = timing.save(args.out, "accelerator", content, "\n".join(lines))
    print("\n".join(lines))
    print(f"written to {written}; the tables of the suites beside it")
