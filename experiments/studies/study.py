"""A study as a value: the runs that it needs, and the claims that it checks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from drac_jax.runs.setup.experiment import Experiment, RunConfig
from experiments import find

Change = Callable[[RunConfig], RunConfig]
Finals = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]  # (task, label) -> final evaluations


def unchanged(config: RunConfig) -> RunConfig:
    """Leave a preset as it is."""
    return config


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study, `seeds` seeds from `seed` on in one program.

    label: what is compared, most often the method; change: to the preset's values.
    """

    task: str
    label: str
    experiment_name: str
    preset: str
    seed: int
    seeds: int = 1
    change: Change = unchanged

    @property
    def name(self) -> str:
        """Name its folder and its record."""
        return f"{self.task}-{self.label}-{self.seed}"

    @property
    def experiment(self) -> Experiment:
        """Look its experiment up."""
        return find(self.experiment_name)

    @property
    def config(self) -> RunConfig:
        """Settle its values."""
        config = self.change(self.experiment.config(self.preset))
        return replace(config, seed=self.seed, seeds=self.seeds)


class Verdict(NamedTuple):
    """What a claim comes to. word: `pass`, `fail` or `not enough seeds`; found: in numbers."""

    word: str
    found: str


@dataclass(frozen=True)
class AtLeast:
    """The claim that the median of a task's seeds reaches a value, or that `holding` of `seeds`
    seeds do."""

    task: str
    label: str
    measure: str
    least: float
    seeds: int
    holding: int | None = None

    @property
    def text(self) -> str:
        """Say it."""
        name = self.measure.removeprefix("eval/")
        if self.holding is None:
            return f"{self.task}, {self.label}: median {name} >= {self.least:g}"
        which = f"in {self.holding} of {self.seeds} seeds"
        return f"{self.task}, {self.label}: {name} >= {self.least:g} {which}"

    def check(self, finals: Finals) -> Verdict:
        """Compare the records with it."""
        values = _values(finals, self.task, self.label, self.measure)
        if not values:
            return Verdict(NOT_ENOUGH, f"0 of {self.seeds}")
        if self.holding is None:
            median = float(np.median(values))
            return _verdict(median >= self.least, f"{median:.4g}", len(values), self.seeds)
        count = sum(value >= self.least for value in values)
        holds = count * self.seeds >= self.holding * len(values)
        return _verdict(holds, f"{count} of {len(values)}", len(values), self.seeds)


@dataclass(frozen=True)
class AtLeastTimes:
    """The claim that one label's mean is at least `factor` times another's, on each task, or in the
    median of the tasks."""

    label: str
    other: str
    measure: str
    factor: float
    tasks: tuple[str, ...]
    seeds: int
    of_median_task: bool = False

    @property
    def text(self) -> str:
        """Say it."""
        where = "in the median task" if self.of_median_task else "on every task"
        name = self.measure.removeprefix("eval/")
        return f"{self.label}: {name} >= {self.factor:g} of {self.other}'s {where}"

    def check(self, finals: Finals) -> Verdict:
        """Compare the records with it."""
        ratios, fewest = [], self.seeds
        for task in self.tasks:
            one, other = (
                _values(finals, task, label, self.measure) for label in (self.label, self.other)
            )
            fewest = min(fewest, len(one), len(other))
            if one and other:
                ratios.append(float(np.mean(one) / np.mean(other)))
        if len(ratios) < len(self.tasks):
            return Verdict(NOT_ENOUGH, f"{len(ratios)} of {len(self.tasks)} tasks")
        least = float(np.median(ratios)) if self.of_median_task else min(ratios)
        found = f"{least:.3g} ({', '.join(f'{r:.2f}' for r in ratios)})"
        return _verdict(least >= self.factor, found, fewest, self.seeds)


NOT_ENOUGH = "not enough seeds"
Claim = AtLeast | AtLeastTimes


@dataclass(frozen=True)
class Study:
    """What is trained, in this order, and what is claimed of it."""

    name: str
    summary: str
    runs: tuple[PlannedRun, ...]
    claims: tuple[Claim, ...] = ()


def seeds_in_turn(make: Callable[[int], Iterable[PlannedRun]], seeds: int) -> tuple:
    """Order runs so that there is one of everything before a second seed of anything."""
    return tuple(run for seed in range(seeds) for run in make(seed))


def _values(finals: Finals, task: str, label: str, measure: str) -> list[float]:
    found = finals.get((task, label), ())
    return [seed[measure] for seed in found if seed.get(measure) is not None]


def _verdict(holds: bool, found: str, seeds: int, needed: int) -> Verdict:
    if seeds < needed:
        return Verdict(NOT_ENOUGH, f"{found}, {seeds} of {needed}")
    return Verdict("pass" if holds else "fail", found)
