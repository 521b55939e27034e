"""From words to typed options, by tyro, with errors of one line."""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, fields, make_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro
from tyro.conf import arg

from drac_jax.runs import saved_agent
from drac_jax.runs.setup.experiment import DEFAULT_PRESET, Experiment, RunConfig
from experiments import find
from experiments.cli.terminal import PROGRAM
from experiments.tasks import any_environment

_BOX = str.maketrans("", "", "│╭╮╰╯─")
GRID = "grid."
ABOUT_DEVICES = ("--devices", "--distributed", "--coordinator", "--num-processes", "--process-id")
_VALUES = Annotated[tuple[float, ...], arg(metavar="FLOAT FLOAT ...", help="values to train at")]


def parse[T](kind: type[T], words: list[str], prog: str, default: T | None = None) -> T:
    """Read words into a dataclass. Prints the help and exits for `--help`.

    Raises ValueError, in one line, for an unknown option, with the nearest one, and for a value of
    the wrong type.
    """
    given: dict[str, Any] = {} if default is None else {"default": default}
    return _quietly(lambda: tyro.cli(kind, args=_flags(words), prog=prog, **given), prog)


def parse_known[T](kind: type[T], words: list[str], prog: str) -> tuple[T, list[str]]:
    """Read the words that a dataclass has options for. -> it, and the others."""
    return _quietly(
        lambda: tyro.cli(
            kind, args=_flags(words), prog=prog, return_unknown_args=True, add_help=False
        ),
        prog,
    )


def _flags(words: list[str]) -> list[str]:
    """Write `--a.b True` as `--a.b`, and `--a.b False` as `--a.no-b`. Raises ValueError for a swept
    hyperparameter without values."""
    for word, after in pairwise([*words, "--"]):
        if word.startswith(f"--{GRID}") and "=" not in word and after.startswith("--"):
            raise ValueError(f"{word.removeprefix('--')} has no values; give at least one")
    flags: list[str] = []
    for word in words:
        if word in ("True", "False") and flags and flags[-1].startswith("--"):
            if word == "False":
                path, dot, name = flags[-1].removeprefix("--").rpartition(".")
                flags[-1] = f"--{path}{dot}no-{name}"
        else:
            flags.append(word)
    return flags


def _quietly(read: Any, prog: str) -> Any:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return read()
    except SystemExit as stop:
        if not stop.code:  # --help
            print(said.getvalue(), end="")
            raise
        raise ValueError(_one_line(said.getvalue(), prog)) from None


def _one_line(box: str, prog: str) -> str:
    """Flatten tyro's drawn box to its message and its suggestions."""
    lines = [line.translate(_BOX).strip() for line in box.splitlines()[1:]]
    kept = [line for line in lines if line.strip("-") and "For full helptext" not in line]
    return " ".join(kept) + f" (all options: {prog} --help)"


@dataclass(frozen=True)
class Origin:
    """Where a run's values come from, before the words change them."""

    preset: str | None = None
    config: Path | None = None
    resume: Path | None = None


def origin_of(name: str | None, words: list[str], bare: str) -> tuple[Experiment, str, RunConfig]:
    """Find the experiment, the preset's name and the values that the words start from: those of
    `--resume`'s run, of `--config`'s file, or of a preset.

    name: the experiment's, None where the words do not say; bare: the one that is run then. Raises
    ValueError for what there is not, and for a name that is not that of the file.
    """
    origin, _ = parse_known(Origin, words, PROGRAM)
    if origin.resume and origin.config:
        raise ValueError("--resume keeps the run's own values; leave --config out")
    if (place := origin.resume or origin.config) is None:
        experiment = fit(find(name or bare), words)
        preset = origin.preset or preset_for(experiment, words)
        return experiment, preset, experiment.config(preset)
    identity = saved_agent.read_identity(place)
    for what, value in {"experiment": name, "preset": origin.preset}.items():
        if value not in (None, identity[what]):
            raise ValueError(f"{place} is a run of {what} {identity[what]!r}, not {value!r}")
    experiment = find(identity["experiment"])
    return experiment, identity["preset"], saved_agent.config_of(experiment, identity)


@dataclass(frozen=True)
class OnlyEnv[Env]:
    """What the words say of an environment."""

    env: Env


def fit(experiment: Experiment, words: list[str]) -> Experiment:
    """Fit an experiment on a named environment to that, as the words want it. Raises ValueError for
    an environment that cannot be made, unless the words only ask for help."""
    if not any_environment.is_of_any(experiment.name):
        return experiment
    default = OnlyEnv(experiment.config().env)
    try:
        kind, about_env = of(OnlyEnv, type(default.env)), _about_env(words)
        prog = f"{PROGRAM} run {experiment.name}"
        return any_environment.fitted(experiment, parse(kind, about_env, prog, default).env)
    except ValueError:
        if {"-h", "--help"} & set(words):
            return experiment
        raise


def _about_env(words: list[str]) -> list[str]:
    """Take the options of the environment, and their values, out of the words."""
    taken, takes = [], False
    for word in words:
        if word.startswith("--"):
            takes = word.startswith("--env.")
        taken += [word] * takes
    return taken


def names_origin(words: list[str]) -> bool:
    """Say whether the words name where the values come from."""
    return parse_known(Origin, words, PROGRAM)[0] != Origin()


def preset_for(experiment: Experiment, words: list[str]) -> str:
    """Choose the preset where none is named: the one that suits the device, if there is one.

    Words about devices or other processes are obeyed before any device is looked at, so with them
    it is `default`.
    """
    if not experiment.suited or any(word.startswith(ABOUT_DEVICES) for word in words):
        return DEFAULT_PRESET
    return experiment.suited.get(jax.default_backend(), DEFAULT_PRESET)


def of(generic: Any, *parameters: Any) -> Any:
    """Give a generic dataclass its parameters, which are known when the words are."""
    return generic[parameters]


def with_grid_options(config: RunConfig) -> tuple[type[RunConfig], RunConfig]:
    """Give each hyperparameter an option of the grid. -> the type of such configurations, and
    `config` as one of them, with nothing swept."""
    names = [field.name for field in fields(config.hparams)]
    grid = make_dataclass("Grid", [(name, _VALUES, ()) for name in names], frozen=True)
    grid.__doc__ = "Swept hyperparameters: seeds x these values are the members of the run."
    parameters = type(config.env), type(config.algorithm), type(config.hparams), grid
    return of(RunConfig, *parameters), replace(config, grid=grid())


def from_grid_options(read: RunConfig, swept: Mapping[str, tuple[float, ...]]) -> RunConfig:
    """Turn the grid's options into a grid; `swept` where none was given."""
    values = {field.name: getattr(read.grid, field.name) for field in fields(read.grid)}
    given = {name: value for name, value in values.items() if value}
    return replace(read, grid=given or swept)


def read_config(default: RunConfig, words: list[str], prog: str) -> RunConfig:
    """Override the values of `default` that the words name. Raises as `parse`."""
    kind, plain = with_grid_options(default)
    return from_grid_options(parse(kind, words, prog, plain), default.grid)
