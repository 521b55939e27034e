"""Everything that is asked of one accelerator, part by part, with a short table at the end.

Each part is a process of its own. All compile at once and measure one at a time, and each writes
its result as soon as it has it. `--toy` plays a plan of the same kinds at sizes of no meaning, to
see that it works.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.throughput import timing
from experiments.throughput.accelerator import plan, turns

NAME = "accelerator"


@dataclass(frozen=True)
class Options(timing.Options):
    """Everything that is asked of one accelerator, part by part, with a short table at the end.

    Example: python -m experiments bench accelerator --minutes 8 --skip-done
    """

    toy: bool = False  # everything at toy size
    only: tuple[str, ...] = ()  # parts, all if not named
    skip_done: bool = False  # pass over parts whose result is in the folder
    minutes: float = 60.0  # in all; parts without time are left for the next call
    ready_minutes: float = 4.0  # until every part must be compiled
    turn_minutes: float = 5.0  # that one part may measure
    torch_python: str | None = None  # an interpreter that has torch


def measure(options: Options) -> None:
    """Run the suite. Raises ValueError for a part that is unknown."""
    parts = plan.parts(options.toy)
    timing.check_names("--only", options.only, parts)
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = [name for name in parts if not options.only or name in options.only]
    if options.skip_done:
        chosen = [name for name in chosen if not (options.out / f"{name}.json").exists()]
    shared = {
        "toy": options.toy,
        "out": str(options.out.resolve()),
        "repeats": options.repeats,
        "torch_python": options.torch_python,
    }
    minute = 60.0
    limits = turns.Limits(
        options.ready_minutes * minute, options.turn_minutes * minute, options.minutes * minute
    )
    requests = [({"part": name, **shared}, parts[name].environment) for name in chosen]
    failures = turns.play(requests, limits) if requests else {}
    report(options.out, list(parts), failures)


def report(out: Path, names: list[str], failures: dict[str, str]) -> None:
    """Make one table of all results in the folder, and print it."""
    paths = {name: out / f"{name}.json" for name in names}
    found = {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}
    lines = ["| part | what | median | min - max | |", "| --- | --- | ---: | ---: | --- |"]
    for name, record in found.items():
        lines += [_line(name, row) for row in record["rows"]]
    lines += [f"| {name} | {why} | | | |" for name, why in failures.items() if why]
    rows = {name: record["rows"] for name, record in found.items()}
    content = {"rows": rows, "failures": {k: v for k, v in failures.items() if v}}
    print("\n".join(lines))
    print(f"written to {timing.save(out, NAME, content, chr(10).join(lines))}")


def _line(part: str, row: dict[str, Any]) -> str:
    value, least, most = (_number(row[key]) for key in ("value", "least", "most"))
    spread = f"{least} - {most}" if least != most else ""
    return f"| {part} | {row['what']} | {value} | {spread} | {row['unit']} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
