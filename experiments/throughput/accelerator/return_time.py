"""The time until a run's evaluation reaches a return, compiling included."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from drac_jax.runs.storage import run_folder
from experiments.throughput import return_curve
from experiments.throughput.accelerator.part_measures import Found, Prepare, Row


def time_to_return(name: str, preset: str, target: float, limit: float, *words: str) -> Prepare:
    """Train, in a process of its own, until an evaluation reaches the target, compiling
    included; the curve is kept."""

    def measure() -> Found:
        began = time.perf_counter()
        curve: list[dict[str, float]] = []
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "experiments", "run", name, "--preset", preset]
            run = subprocess.Popen(
                [*command, "--runs-dir", folder, *words], stdout=subprocess.DEVNULL
            )
            while run.poll() is None and time.perf_counter() - began < limit:
                time.sleep(0.25)
                passed = time.perf_counter() - began
                curve += _new_records(Path(folder), len(curve), passed)
                if return_curve.first_at(curve, target):
                    break
            run.kill()
            run.wait()
        return Found(_reached(f"{name}, {preset}", curve, target), {"curve": curve})

    return lambda request: measure


def _new_records(folder: Path, seen: int, seconds: float) -> list[dict[str, float]]:
    paths = folder.rglob(run_folder.METRICS)
    records = [record for path in paths for record in run_folder.read_records(path)]
    return [
        {
            "seconds": seconds,
            "member": r["member"],
            "env_steps": r["env_steps"],
            "updates": r["updates"],
            "train_s": r["time/train_s"],
            "return": r["eval/return"],
        }
        for r in records[seen:]
    ]


def _reached(title: str, curve: list[dict[str, float]], target: float) -> list[Row]:
    best = return_curve.best(curve)
    rows = [Row(f"{title}: best return", best, best, best, "")]
    if (at := return_curve.first_at(curve, target)) is not None:
        seconds = at["seconds"]
        rows.append(Row(f"{title}: return {target:,.0f} after", seconds, seconds, seconds, "s"))
    return rows
