"""What commands write to the terminal, and the exit codes that they end with."""

import io
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from drac_jax.runs.storage.console import duration
from drac_jax.training.evaluate import Episodes

# What the user called it: by its name where it is installed, or from a clone.
PROGRAM = "drac-jax" if Path(sys.argv[0]).stem == "drac-jax" else "python -m experiments"
BAD_INPUT = 2  # exit code; also of a method that broke down
INTERRUPTED = 130  # exit code, as shells report Ctrl-C
NO_TERMINAL_WIDTH = 1_000  # characters: no cell of a table is broken
TITLES = {
    "eval/return": "return",
    "eval/reachable_modes": "goals",
    "eval/multi_goal_score": "score",
    "eval/arrival_rate": "arrive",
    "eval/removal_sr5": "removal SR5",
    "eval/obstacle_sr5": "obstacle SR5",
}


class _Output(io.FileIO):
    """A file descriptor that turns into the null device where it cannot be written."""

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return len(data)


def outlive_readers() -> None:
    """Let a reader that goes away, or a full disk, end the printing and nothing else."""
    for name in ("stdout", "stderr"):
        if (stream := getattr(sys, name)) is None:  # closed before the start
            continue
        stream.flush()
        raw = _Output(stream.fileno(), "w", closefd=False)
        lasting = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
        )
        setattr(sys, name, lasting)


def print_table(heading: list[str], rows: list[list[str]], first: str = "right") -> None:
    """Print a table, on a terminal as wide as that and elsewhere as wide as it needs. first: how
    the first column is justified."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column, title in enumerate(heading):
        drawn.add_column(title, justify="right" if column else first)  # type: ignore[arg-type]
    for row in rows:
        drawn.add_row(*row)
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = NO_TERMINAL_WIDTH
    console.print(drawn)


def print_results(records: list[dict]) -> None:
    """Print one row per member: its label, and what was measured."""
    labels = [name for name in records[0] if "/" not in name]
    measures = [name for name in TITLES if name in records[0]]
    rows = [[f"{record[name]:.3g}" for name in labels + measures] for record in records]
    print_table(labels + [TITLES[name] for name in measures], rows)


def print_episodes(played: Episodes) -> None:
    """Print a line per episode."""
    columns = zip(played.returns, played.lengths, played.goals, strict=True)
    for number, (total, length, goal) in enumerate(columns, start=1):
        arrived = f", goal {goal}" if goal else ""
        print(f"episode {number}: return {total:.4g}, {length} env steps{arrived}")


def print_outcome(folder: Path, timings: dict[str, float]) -> None:
    """Print a run's times, speeds and pictures."""
    pictures = ", ".join(map(str, sorted(folder.glob("*.png"))))
    print(
        f"compiled in {timings['compile_s']:.1f} s, trained in "
        f"{duration(timings['train_s'])} ({timings['env_steps_per_s']:,.0f} env steps/s, "
        f"{timings['updates_per_s']:,.0f} updates/s)\n"
        f"pictures: {pictures}"
    )
