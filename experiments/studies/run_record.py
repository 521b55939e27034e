"""The compact record of a finished run: values, curve, final evaluation, machine."""

from pathlib import Path
from typing import Any

from drac_jax.runs.storage import run_folder
from experiments.studies.study import PlannedRun

RECORDS = "records"
CURVE = ("member", "epoch", "env_steps", "updates", "time/train_s")
DIGITS = 6
FACTS = ("versions", "device", "git_commit", "timings")


def path_of(place: Path, run: PlannedRun) -> Path:
    """Name a run's record in a study's folder."""
    return place / RECORDS / f"{run.name}.json"


def write(run: PlannedRun, place: Path) -> None:
    """Write the record of a finished run."""
    folder = place / run.name
    config = run_folder.read_json(folder / run_folder.CONFIG)
    summary = run_folder.read_json(folder / run_folder.SUMMARY)
    record = {
        "run": run.name,
        "task": run.task,
        "label": run.label,
        "experiment": config["experiment"],
        "preset": config["preset"],
        "config": config["config"],
        "spec": config["spec"],
        "curve": _columns(run_folder.read_records(folder / run_folder.METRICS)),
        "final": [{k: _short(v) for k, v in seed.items()} for seed in summary["seeds"]],
        **{name: summary[name] for name in FACTS if name in summary},
    }
    path = path_of(place, run)
    path.parent.mkdir(exist_ok=True)
    run_folder.write_json(path, record)


def read_all(place: Path) -> list[dict[str, Any]]:
    """Read the records of a study's folder, in the order of their names."""
    return [run_folder.read_json(path) for path in sorted((place / RECORDS).glob("*.json"))]


def curve_of(record: dict[str, Any], first_member: int) -> list[dict[str, Any]]:
    """Turn a record's columns into rows, its members numbered from `first_member` on."""
    columns = record["curve"]
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return [row | {"member": row["member"] + first_member} for row in rows]


def _columns(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    measures = [name for name in records[0] if name.startswith("eval/")] if records else []
    return {name: [_short(r.get(name)) for r in records] for name in (*CURVE, *measures)}


def _short(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
