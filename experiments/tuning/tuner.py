"""The loop of a tuning run: ask for a batch, train it, tell what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from drac_jax.measures import goal_reaching
from drac_jax.runs.execution.stopping import Interrupted
from drac_jax.runs.storage.console import Reporter
from experiments.tuning.batch_trainer import BatchTrainer, Evaluated
from experiments.tuning.search_space import nearest
from experiments.tuning.shared_study import SharedStudy


@dataclass(frozen=True)
class Objective:
    """What is tuned for: the mean of a measure over the last epochs and the seeds.

    stop_share: the share of a batch's trials that are pruned from which on it ends.
    """

    measure: str
    last_epochs: int
    stop_share: float


def check_objective(objective: Objective, num_goals: int, epochs: int) -> None:
    """Raise ValueError for a measure that no epoch records, and for more epochs than there are."""
    known = list(goal_reaching.episode_summary([0.0], [1], [0], num_goals))
    if objective.measure not in known:
        raise ValueError(
            f"objective={objective.measure!r} is recorded in no epoch; "
            f"{nearest(objective.measure, known)}use one of {', '.join(known)}"
        )
    if objective.last_epochs > epochs:
        raise ValueError(
            f"last_epochs={objective.last_epochs} must be at most train.epochs={epochs}"
        )


@dataclass
class _Running:
    """A batch in training. values: the objective of each trial, epoch and seed; live: the trials
    that are neither pruned nor broken, by their place in the batch."""

    trials: Sequence[Any]
    values: list[list[list[float]]]
    live: list[int]

    @property
    def names(self) -> str:
        """Name the trials by their numbers."""
        first, last = self.trials[0].number, self.trials[-1].number
        return f"trial {first}" if first == last else f"trials {first} to {last}"

    def means(self, place: int, last: int) -> list[float]:
        """Average a trial's last epochs, seed by seed."""
        return np.mean(self.values[place][-last:], axis=0).tolist()


class Session(NamedTuple):
    """A worker's study, what it tunes for, how many trials it trains together, and the console."""

    shared: SharedStudy
    objective: Objective
    batch: int
    reporter: Reporter


def work(
    session: Session, make_trainer: Callable[[], BatchTrainer], after_batch: Callable[[], None]
) -> BatchTrainer | None:
    """Answer batches until nothing is left to ask for. -> the trainer, None where none was needed.

    Raises Interrupted; the trials that were being trained are then in line again.
    """
    trainer: BatchTrainer | None = None
    with session.shared.working():
        while trials := session.shared.ask(session.batch):
            running = _Running(trials, [[] for _ in trials], list(range(len(trials))))
            try:
                trainer = trainer or make_trainer()
                session.reporter.busy(f"training {running.names}")
                _train(session, trainer, running)
            except (Interrupted, KeyboardInterrupt, ValueError):
                session.shared.give_back([trials[i] for i in running.live])
                raise
            after_batch()
            if trainer.stop.asked:
                raise Interrupted(f"stopped after {running.names}")
    return trainer


def _train(session: Session, trainer: BatchTrainer, running: _Running) -> None:
    """Train one batch, and tell what becomes of its trials."""
    shared, objective, epochs = session.shared, session.objective, trainer.setup.schedule.epochs
    for evaluated in trainer.epochs([trial.params for trial in running.trials]):
        is_last = evaluated.epoch == epochs
        _take(session, running, evaluated, is_last)
        session.reporter.busy(_progress(objective, running, evaluated, epochs))
        out = len(running.trials) - len(running.live)
        ends = out >= objective.stop_share * len(running.trials)
        if ends and not is_last:
            session.reporter.say(f"{running.names} end in epoch {evaluated.epoch}: {out} are out")
        if not (ends or is_last):
            continue
        for place in list(running.live):
            finish = shared.tell if is_last else shared.prune
            means = running.means(place, objective.last_epochs)
            finish(running.trials[place], means, evaluated.results[place])
            running.live.remove(place)
        return


def _take(session: Session, running: _Running, evaluated: Evaluated, is_last: bool) -> None:
    """Report an epoch of every trial that is still in, and put out those that broke down or,
    before the last epoch, are pruned. They go on computing, as all members of the program do."""
    shared, objective = session.shared, session.objective
    for place in list(running.live):
        trial, results = running.trials[place], evaluated.results[place]
        if why := evaluated.broken[place]:
            shared.break_down(trial, f"{why} in epoch {evaluated.epoch}")
            running.live.remove(place)
            continue
        running.values[place].append([result[objective.measure] for result in results])
        means = running.means(place, objective.last_epochs)
        trial.report(float(np.mean(means)), evaluated.epoch)
        if not is_last and trial.should_prune():
            shared.prune(trial, means, results)
            running.live.remove(place)


def _progress(objective: Objective, running: _Running, evaluated: Evaluated, epochs: int) -> str:
    """Describe an epoch of a batch in one line."""
    name = objective.measure.removeprefix("eval/").replace("_", " ")
    values = [f"{np.mean(running.values[place][-1]):.3g}" for place in running.live]
    return f"epoch {evaluated.epoch} of {epochs} | {running.names}: {name} {' '.join(values)}"
