"""Side-by-side timing: A-B-A-B order, compile apart, medians with their range."""

import ctypes
import os
import platform
import sys
import textwrap
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from drac_jax.runs.hardware import machine
from drac_jax.runs.storage import run_folder

NUMBERS = {1: "one", 2: "two"}
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Options:
    """What every suite can be told."""

    repeats: int = 5  # timed calls of each contender, who take turns
    one_core: bool = False  # pin to one core (Linux)
    out: Path = RESULTS / "local"  # folder of figures and tables


@dataclass(frozen=True)
class Contender:
    """What is timed: `call` does `units` of the work and returns arrays to wait for, or the
    seconds per unit as a float where another process measures itself."""

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
    done = contender.call()
    if isinstance(done, Seconds):
        return done.each
    jax.block_until_ready(done)
    return (time.perf_counter() - began) / contender.units


@dataclass(frozen=True)
class Seconds:
    """What a contender returns that has timed itself: seconds per unit."""

    each: float


def table(timings: list[Timing], unit: str = "ms", scale: float = 1e3) -> str:
    """Format timings as a Markdown table; the ratio is to the first row's median."""
    rows = [f"| contender | median {unit} | min - max | ratio |", "| --- | ---: | ---: | ---: |"]
    for t in timings:
        low, high = min(t.seconds) * scale, max(t.seconds) * scale
        ratio = t.median / timings[0].median
        rows.append(f"| {t.name} | {t.median * scale:.2f} | {low:.2f} - {high:.2f} | {ratio:.3f} |")
    return "\n".join(rows)


def bars(
    timings: list[Timing], path: Path, title: str, unit: str = "ms", scale: float = 1e3
) -> None:
    """Draw medians as bars, the ranges of the repeats as whiskers."""
    from drac_jax.figures import plots

    medians = np.array([t.median for t in timings]) * scale
    low, high = (np.array([f(t.seconds) for t in timings]) * scale for f in (min, max))
    figure, ((axis,),) = plots.panels(1, 1, (7.2, 0.7 + 0.42 * len(timings)))
    whiskers = np.stack([medians - low, high - medians])
    axis.barh([t.name for t in timings], medians, xerr=whiskers, color=plots.COLOURS[0], ecolor="k")
    for row, median in enumerate(medians):
        axis.annotate(f" {median:.3g}", (high[row], row), va="center", fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.12, y=0.01)
    if medians.max() > 100.0 * medians.min():  # else the short ones have no length to see
        axis.set_xscale("log")
    axis.set_xlabel(f"{unit}, median; whiskers: least and most", fontsize=8)
    figure.suptitle(textwrap.fill(title, 90), fontsize=9)
    axis.grid(alpha=0.25, axis="x")
    plots.save(figure, path)


def pin(one_core: bool) -> None:
    """Leave this process, its threads to come and its children one core, if that is asked for."""
    if not one_core:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("--one-core needs Linux; leave it out")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def check_names(option: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise ValueError for a name that is not known."""
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{option} {unknown[0]} is unknown; use some of {', '.join(known)}")


def keep_freed_memory() -> None:
    """Have glibc keep what is freed: to fetch and clear the pages of an output for every call can
    take longer than to write it. Loops, as training is one, allocate once."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(-4, 0)  # M_MMAP_MAX: large blocks come from the heap
        mallopt(-1, -1)  # M_TRIM_THRESHOLD: which never shrinks


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def named(suite: str) -> str:
    """Name a suite's files by the cores it had."""
    return f"{suite}_{NUMBERS.get(cores(), cores())}_core{'' if cores() == 1 else 's'}"


def report_suite(
    folder: Path,
    suite: str,
    timings: list[Timing],
    text: str,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Print a suite's text, and write its figures, its tables and its bar chart."""
    content = {t.name: t.seconds for t in timings} | {"cores": cores(), **more}
    name = named(suite)
    print(text)
    print(f"written to {save(folder, name, content, text)}")
    bars(timings, folder / f"{name}.png", text.partition("\n")[0])


def save(folder: Path, suite: str, content: Mapping[str, Any], text: str) -> Path:
    """Write a suite's figures and its tables, with device, versions and command."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine.environment_facts() | {"processor": processor_name(), "command": command()}
    run_folder.write_json(folder / f"{suite}.json", dict(content) | facts)
    versions = facts["versions"]
    head = (
        f"# {suite}\n\n{facts['device']}, {facts['processor']}, jax {versions['jax']}, "
        f"Python {versions['python']}\n\n`{facts['command']}`\n\n"
    )
    (folder / f"{suite}.md").write_text(head + text + "\n")
    return folder / f"{suite}.md"


def processor_name() -> str:
    """Name the processor, and what of its vector and matrix units matters here."""
    name, flags = machine.cpu()
    units = [unit for unit in ("avx2", "avx512f", "amx_bf16") if unit in flags]
    return " ".join([name or platform.machine(), *units])


def command() -> str:
    """Write down how this process was called, without the paths of this machine."""
    return " ".join(
        [
            "python -m experiments",
            *(Path(w).name if Path(w).is_absolute() else w for w in sys.argv[1:]),
        ]
    )
