"""What a study's records say: a table, a figure per task, and how its claims fare."""

from pathlib import Path
from typing import Any

from drac_jax.figures import method_curves, method_table
from experiments.studies import run_record
from experiments.studies.study import Finals, Study

REPORT = "study.md"


def finals_of(records: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Collect the final evaluations of all seeds by task and label."""
    finals: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        finals.setdefault((record["task"], record["label"]), []).extend(record["final"])
    return finals


def table(finals: Finals) -> str:
    """Make the table: a row per task and label."""
    rows = {f"{task}, {label}": seeds for (task, label), seeds in finals.items()}
    return method_table.markdown(method_table.table(rows))


def claims_table(study: Study, finals: Finals) -> str:
    """Check the claims, a row each."""
    verdicts = [(claim.text, claim.check(finals)) for claim in study.claims]
    rows = [["claim", "verdict", "found"], *([text, v.word, v.found] for text, v in verdicts)]
    return method_table.markdown(rows)


def write(study: Study, place: Path) -> str:
    """Write study.md and the figures into the study's folder. -> the text. Raises ValueError
    while no run is finished."""
    records = run_record.read_all(place)
    if not records:
        raise ValueError(f"{study.name}: no run is finished yet; see: study {study.name} status")
    finals = finals_of(records)
    devices = sorted({f"{r['device']}, jax {r['versions']['jax']}" for r in records})
    parts = [
        f"# {study.name}",
        f"{study.summary}. {len(records)} of {len(study.runs)} runs; {'; '.join(devices)}.",
        table(finals),
        method_table.CAPTION,
        *([claims_table(study, finals)] if study.claims else []),
    ]
    for task in dict.fromkeys(task for task, _ in finals):
        _draw(task, [r for r in records if r["task"] == task], place / f"{task}.png")
    text = "\n\n".join(parts) + "\n"
    (place / REPORT).write_text(text)
    return text


def _draw(task: str, records: list[dict[str, Any]], path: Path) -> None:
    """Draw the curves of a task, of each label up to where all its seeds have come."""
    curves: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        rows = curves.setdefault(record["label"], [])
        count = len({row["member"] for row in rows})
        rows += run_record.curve_of(record, count)
    method_curves.curves(curves, task, path)
