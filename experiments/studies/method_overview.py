"""What each method costs and what it finds, in one table, from the records that are kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drac_jax.algorithms.registry import METHODS
from drac_jax.figures import method_table
from drac_jax.runs.storage import run_folder
from experiments.studies import run_record, study_report
from experiments.studies.study import Finals
from experiments.throughput import timing

GOALS, SCORE, RETURN = "eval/reachable_modes", "eval/multi_goal_score", "eval/return"
# Study -> its tasks of the table, and their headings.
PLACES = {
    "multigoal": {"multigoal": "MultiGoal"},
    "mazes": {"pointmaze_simple": "simple maze", "pointmaze_medium": "medium maze"},
    "locomotion_cpu": {"hopper": "Hopper"},
}
CAPTION = (
    "Update and memory: of a batch of 256, networks 256x2, obs 27, action 8, on one core of a CPU; "
    "action: of one observation, in JAX. Then medians over the seeds of the studies, goals and "
    "score (`4, 0.86 (3)`: of three seeds); of Hopper the return."
)


def rows(results: Path, benchmarks: Path = timing.RESULTS / "cpu") -> list[list[str]]:
    """Make the rows of the table, the heading first, with a column for each task that was trained.
    results: the folder of the kept studies."""
    updates = run_folder.read_json(benchmarks / "methods_one_core.json")
    actions = run_folder.read_json(benchmarks / "latency_one_core.json")
    finals = {name: _finals(results / name) for name in PLACES}
    trained = {name: {task for task, _ in finals[name]} for name in PLACES}
    tasks = [(name, task) for name in PLACES for task in PLACES[name] if task in trained[name]]
    headings = [PLACES[name][task] for name, task in tasks]
    heading = ["method", "update, ms", "memory, MB", "action, ms", *headings]
    return [heading] + [
        [
            f"`{method}`",
            *_update(updates, method),
            _milliseconds(actions.get(f"{method} x 1, JAX"), 3),
            *(_found(finals[study].get((task, method), ())) for study, task in tasks),
        ]
        for method in METHODS
    ]


def markdown(results: Path) -> str:
    """Make the table, and say below it what its columns are."""
    return f"{method_table.markdown(rows(results))}\n\n{CAPTION}"


def _finals(folder: Path) -> Finals:
    has_records = (folder / run_record.RECORDS).is_dir()
    return study_report.finals_of(run_record.read_all(folder)) if has_records else {}


def _update(updates: Mapping[str, Any], method: str) -> list[str]:
    """DrAC's actors of the paper are there with both estimators, of which one is the default."""
    name = method if method in updates else f"{method}, all_pairs, 6"
    cost = updates["costs"].get(name)
    megabytes = "-" if cost is None else f"{cost['megabytes']:.0f}"
    return [_milliseconds(updates.get(name), 1), megabytes]


def _milliseconds(seconds: Sequence[float] | None, digits: int) -> str:
    return "-" if seconds is None else f"{np.median(seconds) * 1e3:.{digits}f}"


def _found(seeds: Sequence[Mapping[str, Any]]) -> str:
    if not seeds:
        return "-"
    if GOALS not in seeds[0]:
        return f"{np.median([seed[RETURN] for seed in seeds]):,.0f} ({len(seeds)})"
    goals, score = (np.median([seed[name] for seed in seeds]) for name in (GOALS, SCORE))
    return f"{goals:g}, {score:.2f} ({len(seeds)})"
