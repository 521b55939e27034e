"""The tables of studies, from their records in experiments/results.

A folder of a comparison holds its compare.json, and the summary.json of each method as
<method>.json; one of a study of the catalogue holds its records.
"""

from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from drac_jax.figures import method_table
from drac_jax.runs.comparison import COMPARISON
from drac_jax.runs.storage import run_folder
from experiments.studies import method_overview, run_record, study_report
from experiments.studies.catalogue import STUDIES

RESULTS = Path(__file__).parents[1] / "results"
MEASURES = {
    "eval/reachable_modes": "goals",
    "eval/arrival_rate": "arrive",
    "eval/multi_goal_score": "score",
    "eval/return": "return",
    "eval/removal_sr5": "removal SR5",
    "eval/obstacle_sr5": "obstacle SR5",
}


def read_seeds(folder: Path) -> list[dict[str, Any]]:
    """Collect the final evaluations of all summaries of a folder, in the order of their names. Its
    other JSON files, as of a run's config, have no seeds."""
    records = map(run_folder.read_json, sorted(folder.glob("*.json")))
    return [seed for record in records for seed in record.get("seeds", ())]


def sweep_table(seeds: list[dict[str, Any]], name: str) -> str:
    """Summarise seeds by a swept value: medians, and how many seeds do both."""
    lines = [f"| {name} | seeds | goals | arrive | score | 4 goals and 90 % arrive |"]
    lines.append("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for value in sorted({seed[name] for seed in seeds}):
        group = [seed for seed in seeds if seed[name] == value]
        goals, arrive, score = (
            np.array([seed[measure] for seed in group]) for measure in list(MEASURES)[:3]
        )
        both = int(((goals == 4) & (arrive >= 0.9)).sum())
        lines.append(
            f"| {value:g} | {len(group)} | {', '.join(map(str, goals))} | {np.median(arrive):.2f} "
            f"({arrive.min():.2f} - {arrive.max():.2f}) | {np.median(score):.2f} "
            f"({score.min():.2f} - {score.max():.2f}) | {both} of {len(group)} |"
        )
    return "\n".join(lines)


def seed_table(seeds: list[dict[str, Any]]) -> str:
    """List the seeds of a run, one per row."""
    measures = [measure for measure in MEASURES if measure in seeds[0]]
    lines = ["| seed | " + " | ".join(MEASURES[measure] for measure in measures) + " |"]
    lines.append("| ---: " * (len(measures) + 1) + "|")
    for seed in seeds:
        cells = (f"{seed[measure]:.3g}" for measure in measures)
        lines.append(f"| {seed['seed']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def comparison_table(folder: Path) -> str:
    """Put the methods of a comparison side by side, those that have a summary."""
    paths = [folder / f"{name}.json" for name in run_folder.read_json(folder / COMPARISON)["algos"]]
    methods = {path.stem: run_folder.read_json(path)["seeds"] for path in paths if path.exists()}
    return method_table.markdown(method_table.table(methods))


def table_of(folder: Path) -> str:
    """Choose the table that a folder's records are for; none without seeds."""
    if (folder / COMPARISON).exists():
        return comparison_table(folder)
    if (folder / run_record.RECORDS).is_dir():
        return study_report.table(study_report.finals_of(run_record.read_all(folder)))
    if not (seeds := read_seeds(folder)):  # pictures alone, or another program's records
        return ""
    shared = set.intersection(*(set(seed) for seed in seeds)) - {"seed"}
    swept = sorted(name for name in shared if "/" not in name)
    return sweep_table(seeds, swept[0]) if swept else seed_table(seeds)


def _folders() -> list[Path]:
    return sorted(path for path in RESULTS.iterdir() if path.is_dir())


def tables(name: str = "") -> dict[str, str]:
    """Make the tables of all kept results, or of one. Raises ValueError for a name that is neither
    of results nor of a study."""
    made = {folder.name: partial(table_of, folder) for folder in _folders()}
    made["methods"] = partial(method_overview.markdown, RESULTS)
    if name in made and (table := made[name]()):
        return {name: table}
    found = {name: table for name, make in made.items() if (table := make())}
    if name:
        near = get_close_matches(name, [*STUDIES, *found], n=3, cutoff=0.0)
        raise ValueError(
            f"study {name!r} is unknown; nearest: {', '.join(near)}. Studies to train: "
            f"{', '.join(STUDIES)}; kept results: {', '.join(found)}"
        )
    return found
