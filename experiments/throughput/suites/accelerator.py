"""Everything that is asked of one accelerator, in one go, with a short table at the end.

The suites `update` (at the paper's sizes and at large ones), `diversity` and `replay`; many seeds
at once; whole runs beside simulation alone; and the time until Ant's return reaches a target.
`--toy` does all of it at sizes of no meaning, to see that it works.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from drac_jax.runs.storage import run_folder
from experiments.throughput import timing
from experiments.throughput.suites import diversity_kernel, drac_update, env_steps, replay_ring
from experiments.throughput.suites.iteration import epoch, short_setup, updates

Row = tuple[str, str]


@dataclass(frozen=True)
class Options(timing.Options):
    """Everything that is asked of one accelerator, in one go, with a short table at the end.

    Example: python -m experiments bench accelerator
    """

    toy: bool = False  # everything at toy size
    torch_python: str | None = None  # an interpreter that has torch


class Plan(NamedTuple):
    """What is measured, and at what sizes.

    suites: title -> what measures it, and its options; seeds: that train at once; methods: whether
    diffusion is compared; runs: title -> (experiment, preset, iterations); goal: (experiment,
    preset, return, words of its run).
    """

    suites: dict[str, tuple[Callable[[Any], None], Any]]
    seeds: int
    methods: bool
    runs: dict[str, tuple[str, str, int]]
    goal: tuple[str, str, float, list[str]]


WHOLE = Plan(
    suites={
        "paper": (drac_update.measure, drac_update.Options()),
        "large": (
            drac_update.measure,
            drac_update.Options(batch=32_768, hidden=(512, 512, 512), calls=5),
        ),
        "diversity": (diversity_kernel.measure, diversity_kernel.Options()),
        "replay": (replay_ring.measure, replay_ring.Options()),
    },
    seeds=64,
    methods=True,
    runs={
        "PointMaze, one seed, default": ("pointmaze_simple_amortized", "default", 200),
        "Ant, gpu": ("ant_amortized", "gpu", 10),
        "Humanoid, gpu": ("humanoid_amortized", "gpu", 10),
    },
    goal=("ant_amortized", "gpu", 5_000.0, []),
)
TOY = Plan(
    suites={
        "paper": (drac_update.measure, drac_update.Options(batch=64, hidden=(16, 16), calls=1)),
        "diversity": (diversity_kernel.measure, diversity_kernel.Options(batch=64, calls=1)),
    },
    seeds=2,
    methods=False,
    runs={"MultiGoal, fast": ("multigoal_amortized", "fast", 4)},
    goal=(
        "multigoal_amortized",
        "fast",
        -1e3,
        ["--train.env-steps", "1000", "--train.epochs", "1", "--algorithm.hidden", "8", "8"],
    ),
)


def many_seeds(count: int, repeats: int) -> list[Row]:
    """Measure the iterations of many seeds that train at once."""
    setup = short_setup("multigoal_amortized", "paper", 20, seeds=count)
    (measured,) = timing.side_by_side([epoch("members", setup)], repeats)
    return [(f"{count} seeds, paper: seed-updates/s", f"{1 / measured.median:,.0f}")]


def methods(repeats: int) -> list[Row]:
    """Measure an update of diffusion beside one of amortized, one seed."""
    made = [
        updates(name, short_setup(name, "paper", 20))
        for name in ("multigoal_amortized", "multigoal_diffusion")
    ]
    amortized, diffusion = timing.side_by_side(made, repeats)
    return [("diffusion / amortized, paper", f"{diffusion.median / amortized.median:.2f}")]


def whole_run(title: str, name: str, preset: str, iterations: int, repeats: int) -> list[Row]:
    """Measure env steps per second while training, and of the simulation alone."""
    setup = short_setup(name, preset, iterations)
    num_envs = setup.config.train.num_envs
    both = [
        epoch("training", setup),
        env_steps.contender("simulation", setup.env, num_envs, iterations),
    ]
    training, simulation = timing.side_by_side(both, repeats)
    steps = num_envs * setup.config.train.steps_per_iteration / training.median
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
            lines = [line for p in Path(folder).rglob(run_folder.METRICS) for line in p.open()]
            returns = [json.loads(line)["eval/return"] for line in lines[seen:]]
            seen = len(lines)
            if any(value >= target for value in returns):
                reached = time.perf_counter() - began
        run.kill()
        run.wait()
    said = "not reached" if reached is None else f"{reached:.0f} s"
    return [(f"{name}, {preset}: return {target:,.0f}", said)]


def _parts(plan: Plan, options: Options) -> dict[str, Callable[[], list[Row]]]:
    """Name what there is to measure; each part makes rows of the short table."""

    def suite(title: str) -> list[Row]:
        run, chosen = plan.suites[title]
        if isinstance(chosen, drac_update.Options):
            chosen = replace(chosen, torch_python=options.torch_python)
        run(replace(chosen, repeats=options.repeats, out=options.out / title))
        return []  # it has a table of its own

    parts: dict[str, Callable[[], list[Row]]] = {name: partial(suite, name) for name in plan.suites}
    parts["seeds"] = partial(many_seeds, plan.seeds, options.repeats)
    if plan.methods:
        parts["methods"] = partial(methods, options.repeats)
    parts |= {
        name: partial(whole_run, name, *run, options.repeats) for name, run in plan.runs.items()
    }
    parts["time"] = partial(time_to_return, *plan.goal)
    return parts


def measure(options: Options) -> None:
    """Run the suite."""
    rows: list[Row] = []
    for name, part in _parts(TOY if options.toy else WHOLE, options).items():
        try:
            rows += part()
        except Exception as error:  # one part that breaks must not cost the others' figures
            rows.append((name, f"broke down: {str(error).splitlines()[0]}"))
    lines = ["| what | measured |", "| --- | ---: |", *(f"| {a} | {b} |" for a, b in rows)]
    content: dict[str, Any] = {"rows": rows, "device_kind": jax.devices()[0].device_kind}
    written = timing.save(options.out, "accelerator", content, "\n".join(lines))
    print("\n".join(lines))
    print(f"written to {written}; the tables of the suites beside it")
