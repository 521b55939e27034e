"""Side-by-side timing: A-B-A-B order, compile apart, medians with their range."""

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from drac_jax import report


@dataclass(frozen=True)
class Contender:
    """What is timed: `call` does `units` of the work and returns arrays to wait for."""

    name: str
    call: Callable[[], Any]
    units: int = 1


@dataclass(frozen=True)
class Timing:
    """Seconds per unit, one figure per repeat, and the seconds of the first call."""

    name: str
    first_call: float
    seconds: list[float]

    @property
    def median(self) -> float:
        """Median seconds per unit."""
        return float(np.median(self.seconds))


def side_by_side(contenders: list[Contender], repeats: int) -> list[Timing]:
    """Time contenders in alternation, so that a busy minute hits all of them alike."""
    firsts = [_clock(contender) * contender.units for contender in contenders]
    rounds = [[_clock(contender) for contender in contenders] for _ in range(repeats)]
    columns = zip(*rounds, strict=True)
    return [
        Timing(contender.name, first, list(seconds))
        for contender, first, seconds in zip(contenders, firsts, columns, strict=True)
    ]


def _clock(contender: Contender) -> float:
    began = time.perf_counter()
    jax.block_until_ready(contender.call())
    return (time.perf_counter() - began) / contender.units


def table(timings: list[Timing], unit: str = "ms", scale: float = 1e3) -> str:
    """Format timings as a Markdown table; the ratio is to the first row's median."""
    rows = [f"| contender | median {unit} | min - max | ratio |", "| --- | ---: | ---: | ---: |"]
    for t in timings:
        low, high = min(t.seconds) * scale, max(t.seconds) * scale
        ratio = t.median / timings[0].median
        rows.append(f"| {t.name} | {t.median * scale:.2f} | {low:.2f} - {high:.2f} | {ratio:.3f} |")
    return "\n".join(rows)


def save(folder: Path, suite: str, content: Mapping[str, Any], text: str) -> Path:
    """Write a suite's figures and its tables, with device and versions."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = report.environment_facts() | {"processor": platform.processor() or platform.machine()}
    report.write_json(folder / f"{suite}.json", dict(content) | facts)
    versions = facts["versions"]
    head = f"# {suite}\n\n{facts['device']}, jax {versions['jax']}, Python {versions['python']}\n\n"
    (folder / f"{suite}.md").write_text(head + text + "\n")
    return folder / f"{suite}.md"


def parse_json_line(text: str) -> dict[str, Any]:
    """Read the last line that a contender's process printed."""
    return json.loads(text.strip().splitlines()[-1])
