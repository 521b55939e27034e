"""The command `study`: work at a study's queue, look at it, and report what it found."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from drac_jax import ranges
from drac_jax.runs.execution.stopping import Interrupted
from drac_jax.runs.storage.console import Reporter
from experiments.cli import terminal
from experiments.cli.options import parsing
from experiments.cli.options.machine_options import Devices, set_up
from experiments.studies import run_queue, slurm_jobs, study_report, study_tables
from experiments.studies.catalogue import STUDIES
from experiments.studies.study import Study

Action = Literal["work", "status", "report", "submit"]
HEADING = ["run", "state", "epoch", "env steps", "last return"]


@dataclass(frozen=True)
class StudyOptions(Devices):
    """Train a study's runs, tell how far they are, or report what they found; without a name,
    print the tables of the results that are kept.

    Any number of processes may work at one study: each takes a run that no other has. One that is
    stopped or killed leaves its run to the next, which goes on from the last checkpoint.

    Example: python -m experiments study trial work --workers 2
    """

    name: Positional[str] = ""  # a study, or a folder of experiments/results
    action: Positional[Action] = "work"  # train, tell, write tables and figures, or queue jobs
    runs_dir: Path = Path("runs")  # folder of the runs; these go to studies/<name>
    workers: int = 1  # processes, or jobs; more than one have a core each
    retry: bool = False  # take up again what broke down
    cluster: Literal["slurm", "local"] = "slurm"  # where jobs are submitted to
    partition: str | None = None  # of Slurm
    hours: float = 24.0  # that a job may take; it saves before


def study(words: list[str], began: float) -> int:
    """Do what is asked of a study. -> the exit code."""
    asked = parsing.parse(StudyOptions, words, f"{parsing.PROGRAM} study", StudyOptions())
    if asked.name not in STUDIES:
        for name, table in study_tables.tables(asked.name).items():
            print(f"\n{name}\n\n{table}")
        return 0
    ranges.check_number("workers", asked.workers, "--workers")
    ranges.check_number("hours", asked.hours, "--hours")
    chosen = STUDIES[asked.name]
    if asked.action == "status":
        terminal.print_table(HEADING, run_queue.status(chosen, asked.runs_dir), first="left")
        return 0
    if asked.action == "report":
        return _report(chosen, asked.runs_dir)
    if asked.action == "submit":
        how = asked.cluster, asked.partition, asked.hours
        print(slurm_jobs.submit(chosen, asked.runs_dir, asked.workers, *how))
        return 0
    if asked.workers > 1:
        return _several(asked.workers, words)
    deadline = set_up(asked, began)
    reporter = Reporter()
    try:
        run_queue.work(chosen, asked.runs_dir, reporter, deadline, asked.retry)
    except (Interrupted, KeyboardInterrupt) as stop:
        go_on = f"make study STUDY={chosen.name}"
        reporter.say(f"{str(stop) or 'stopped at once'}; go on with: {go_on}")
        return terminal.INTERRUPTED
    finally:
        reporter.close()
    return _finish(chosen, asked.runs_dir)


def _report(chosen: Study, runs_dir: Path) -> int:
    place = run_queue.place_of(chosen, runs_dir)
    print(study_report.write(chosen, place), end="")
    print(f"\ntable, figures and records: {place}")
    return 0


def _finish(chosen: Study, runs_dir: Path) -> int:
    """Report, and name what is not done. -> the exit code."""
    left = [row for row in run_queue.status(chosen, runs_dir) if row[1] != "done"]
    if len(left) < len(chosen.runs):
        _report(chosen, runs_dir)
    for run, state, *_ in left:
        print(f"note: {run}: {state}")
    broken = any(state.startswith("broke") for _, state, *_ in left)
    return terminal.BAD_INPUT if broken else 0


def _several(count: int, words: list[str]) -> int:
    """Work with several processes, a core each where there are enough. -> the worst exit code."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    command = [sys.executable, "-m", "experiments", "study", *words, "--workers", "1"]
    processes = []
    for number in range(count):
        process = subprocess.Popen(command)
        if cores:
            os.sched_setaffinity(process.pid, {cores[number % len(cores)]})
        processes.append(process)

    def pass_on(number: int, frame: Any) -> None:
        for process in processes:
            process.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    try:
        return max(process.wait() for process in processes)
    except KeyboardInterrupt:  # which they were sent as well
        return max(process.wait() for process in processes)
