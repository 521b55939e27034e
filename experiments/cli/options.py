"""From command-line words to a RunConfig, with errors of one line."""

import contextlib
import io
from dataclasses import replace

import tyro

from drac_jax.runs.setup.experiment import RunConfig

_BOX = str.maketrans("", "", "│╭╮╰╯─")
GRID = "--grid."


def parse(default: RunConfig, words: list[str], prog: str) -> RunConfig:
    """Override the values of `default` that the words name.

    `--hparams.beta 0.6` sets a value; `--grid.beta 0.2 0.5` sweeps one. Raises ValueError, in one
    line, for an unknown field or a value of the wrong type.
    """
    grid, words = _split_grid(words)
    kind = RunConfig[type(default.env), type(default.algorithm), type(default.hparams)]  # type: ignore[misc]
    config = parse_as(kind, default, words, prog)
    return replace(config, grid=grid) if grid else config


def parse_as[T](kind: type[T], default: T, words: list[str], prog: str) -> T:
    """Override the values of a dataclass that the words name; raises as `parse` does."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return tyro.cli(kind, default=default, args=words, prog=prog)
    except SystemExit as stop:
        if not stop.code:  # --help
            print(said.getvalue(), end="")
            raise
        raise ValueError(_one_line(said.getvalue(), prog)) from None


def _split_grid(words: list[str]) -> tuple[dict[str, tuple[float, ...]], list[str]]:
    """Take `--grid.name v v v` out of the words."""
    grid: dict[str, tuple[float, ...]] = {}
    rest: list[str] = []
    name = None
    for word in words:
        if word.startswith("--"):
            name = word.removeprefix(GRID).replace("-", "_") if word.startswith(GRID) else None
            if name is not None:
                grid[name] = ()
                continue
        if name is None:
            rest.append(word)
            continue
        try:
            grid[name] += (float(word),)
        except ValueError:
            raise ValueError(f"grid.{name}: {word!r} is not a number") from None
    return grid, rest


def _one_line(box: str, prog: str) -> str:
    """Flatten tyro's drawn box to its message and its suggestions."""
    lines = [line.translate(_BOX).strip() for line in box.splitlines()[1:]]
    kept = [line for line in lines if line.strip("-") and "For full helptext" not in line]
    return " ".join(kept) + f" (all options: {prog} --help)"
