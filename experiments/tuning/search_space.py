"""What a tuning run searches: hyperparameters and their bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

from drac_jax import ranges
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup.experiment import Experiment, RunConfig
from drac_jax.types import EnvSpec

OPTION = "search."
LARGE_RATIO = 100.0  # of the bounds, from which on the scale is logarithmic


@dataclass(frozen=True)
class Span:
    """The values of one hyperparameter. log: whether they are drawn on a logarithmic scale."""

    name: str
    low: float
    high: float
    log: bool


def nearest(word: str, known: Sequence[str]) -> str:
    """Name what is known, the nearest first where there is one."""
    near = get_close_matches(word, known, n=1, cutoff=0.4)
    return f"nearest: {near[0]}; " if near else ""


def check_names(words: Sequence[str], config: RunConfig) -> None:
    """Raise ValueError for `--search.NAME` of what is no hyperparameter: a static value changes
    the program, so a batch cannot hold several of it."""
    known = [field.name for field in fields(config.hparams)]
    for word in words:
        if not word.startswith(f"--{OPTION}"):
            continue
        name = word.removeprefix(f"--{OPTION}").partition("=")[0].replace("-", "_")
        if name not in known:
            raise ValueError(
                f"{OPTION}{name} cannot be searched, only floats of the method's hyperparameters "
                f"can; {nearest(name, known)}use one of {', '.join(known)}"
            )


def spans(
    bounds: Mapping[str, Sequence[float]], log: Sequence[str], linear: Sequence[str]
) -> list[Span]:
    """Make the spans of (name -> lowest, highest). log, linear: names that are told their scale;
    the others' is logarithmic for learning rates and where the bounds are far apart.

    Raises ValueError where there is nothing to search, or for bounds that no value can be within.
    """
    if not bounds:
        raise ValueError(f"nothing is searched; name bounds: --{OPTION}NAME LOWEST HIGHEST")
    for option, names in {"log": log, "linear": linear}.items():
        if unknown := [n for n in names if n.replace("-", "_") not in bounds]:
            raise ValueError(
                f"--{option} {unknown[0]} is not searched; it is one of {', '.join(bounds)}"
            )
    told = dict.fromkeys(log, True) | dict.fromkeys(linear, False)
    told = {name.replace("-", "_"): scale for name, scale in told.items()}
    return [_span(name, values, told.get(name)) for name, values in bounds.items()]


def _span(name: str, values: Sequence[float], log: bool | None) -> Span:
    if len(values) != 2:
        raise ValueError(
            f"{OPTION}{name} takes two numbers, the lowest and the highest, not {len(values)}"
        )
    low, high = values
    for value in values:
        ranges.check_number(name, value, f"{OPTION}{name}")
    if low >= high:
        raise ValueError(f"{OPTION}{name}={low:g} {high:g}: the lowest comes first; swap them")
    if log and low <= 0:
        raise ValueError(f"{OPTION}{name}={low:g} must be above 0 on a logarithmic scale")
    if log is None:
        log = low > 0 and (name.endswith("_lr") or high / low >= LARGE_RATIO)
    return Span(name, low, high, log)


def check_ends(
    experiment: Experiment, config: RunConfig, spec: EnvSpec, found: Sequence[Span]
) -> list[str]:
    """Let the method check the ends of every span: it may know more of them than their range.
    -> its warnings. Raises ValueError, naming the option."""
    check, warnings = exp.method_of(experiment).check, []
    for span in found:
        for end in (span.low, span.high):
            hparams = config.hparams.replace(**{span.name: end})
            try:
                warnings += check(spec, config.algorithm, hparams)
            except ValueError as error:
                raise ValueError(f"{OPTION}{span.name}: {error}") from None
    return list(dict.fromkeys(warnings))


def stand_in(config: RunConfig, found: Sequence[Span], batch: int) -> RunConfig:
    """Give a configuration the members of a batch, seeds x `batch` points, so that all that is
    validated of a run is validated of it. Their values are told when they are known."""
    lowest = with_point(config, {span.name: span.low for span in found})
    return replace(lowest, grid={found[0].name: (found[0].low,) * batch})


def with_point(config: RunConfig, point: Mapping[str, float]) -> RunConfig:
    """Take over the values of a point."""
    hparams: Any = config.hparams
    return replace(config, hparams=hparams.replace(**point))
