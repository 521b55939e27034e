"""A tuning run's trials on disk, which any number of processes share.

Optuna's journal has the trials. A worker holds a lock of its own, which the operating system drops
when it dies, and a trial names its worker. A trial that runs although its worker is dead is written
down as failed by whoever asks next, and its values are put in line again.
"""

import fcntl
import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from drac_jax.runs.storage import run_lock
from experiments.tuning.search_space import Span

try:
    import optuna
    from optuna.storages.journal import JournalFileBackend
except ImportError:  # said when it is asked for
    optuna = None  # type: ignore[assignment]

JOURNAL, ASKING, WORKERS, NAME = "journal.log", "asking.lock", "workers", "tuning"
WORKER, BROKE = "worker", "broke_down"  # attributes of trials
STARTUP_TRIALS = 10  # that TPE draws at random, Optuna's own number
Sampler = Literal["tpe", "random"]


class Plan(NamedTuple):
    """How trials are asked for. trials: how many there are to be in all; prune_after: the epochs
    before a trial can be pruned, None for never."""

    spans: Sequence[Span]
    trials: int
    minimize: bool
    sampler: Sampler
    seed: int
    prune_after: int | None


def check_installed() -> None:
    """Raise ValueError where Optuna is missing."""
    if optuna is None:
        raise ValueError("tune needs the package optuna; install it: pip install 'drac_jax[tune]'")


class SharedStudy:
    """One worker's view of a study's folder. Use it within `working`."""

    def __init__(self, folder: Path, plan: Plan):
        check_installed()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder, self.plan = folder, plan
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        journal = JournalFileBackend(str(folder / JOURNAL))
        self.study = optuna.create_study(
            study_name=NAME,
            storage=optuna.storages.JournalStorage(journal),
            direction="minimize" if plan.minimize else "maximize",
            pruner=_pruner(plan.prune_after),
            load_if_exists=True,
        )

    @contextmanager
    def working(self) -> Iterator[None]:
        """Be one of the study's workers."""
        place = self.folder / WORKERS / self.worker
        place.mkdir(parents=True, exist_ok=True)
        with run_lock.held(place):
            try:
                yield
            finally:
                shutil.rmtree(place)

    def ask(self, count: int) -> list[Any]:
        """Ask for so many trials, or as many as are still to be asked for."""
        with self._asking():
            self._take_back()
            every = self.study.get_trials(deepcopy=False)
            left = self.plan.trials - sum(map(_counts, every))
            # Anew for each batch, so that a study that goes on does not draw its first values
            # again, and workers do not draw the same.
            self.study.sampler = _sampler(self.plan, len(every))
            spans = {s.name: _distribution(s) for s in self.plan.spans}
            trials = []
            for _ in range(min(count, left)):
                trials.append(self.study.ask(spans))
                trials[-1].set_user_attr(WORKER, self.worker)
            return trials

    def tell(self, trial: Any, values: Sequence[float], results: Sequence[Mapping]) -> None:
        """Finish a trial. values: the objective of each seed; results: of each seed's last epoch,
        kept as means."""
        self._keep(trial, values, results)
        self.study.tell(trial, float(np.mean(values)))

    def prune(self, trial: Any, values: Sequence[float], results: Sequence[Mapping]) -> None:
        """Finish a trial that the others are better than. As `tell`."""
        self._keep(trial, values, results)
        self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)

    def break_down(self, trial: Any, why: str) -> None:
        """Finish a trial whose values were not finite."""
        trial.set_user_attr(BROKE, why)
        self.study.tell(trial, state=optuna.trial.TrialState.FAIL)

    def give_back(self, trials: Sequence[Any]) -> None:
        """Leave trials that were stopped to whoever asks next."""
        with self._asking():
            for trial in trials:
                self._put_back(trial)

    def finished(self) -> list[Any]:
        """List the trials that have ended, broken ones included."""
        every = self.study.get_trials(deepcopy=False)
        return [t for t in every if t.state.is_finished() and _counts(t)]

    def best(self) -> list[Any]:
        """List the trials that were trained to the end, the best first."""
        done = [t for t in self.finished() if t.state == optuna.trial.TrialState.COMPLETE]
        return sorted(done, key=lambda t: t.value, reverse=not self.plan.minimize)

    def why_none(self) -> str:
        """Say why a trial broke down, if one did."""
        reasons = [t.user_attrs[BROKE] for t in self.finished() if BROKE in t.user_attrs]
        return f": {reasons[-1]}" if reasons else ""

    def importances(self) -> dict[str, float]:
        """Estimate the share of each searched value in the objective's variance (PED-ANOVA,
        arXiv:2304.10255); empty while there is too little to say."""
        if len({t.value for t in self.best()}) < 2:
            return {}
        with suppress(RuntimeError, ValueError):
            return optuna.importance.get_param_importances(self.study)
        return {}

    def _keep(self, trial: Any, values: Sequence[float], results: Sequence[Mapping]) -> None:
        trial.set_user_attr("by_seed", [float(value) for value in values])
        for name in results[0]:
            if "/" in name:
                trial.set_user_attr(name, float(np.mean([r[name] for r in results])))

    def _take_back(self) -> None:
        """Fail the trials of killed workers, and put their values in line again."""
        alive: dict[str | None, bool] = {None: False}
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state != optuna.trial.TrialState.RUNNING:
                continue
            worker = trial.user_attrs.get(WORKER)
            if worker not in alive:
                alive[worker] = _is_held(self.folder / WORKERS / str(worker))
            if not alive[worker]:
                self._put_back(trial)

    def _put_back(self, trial: Any) -> None:
        self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        # A worker may have been killed before it had drawn all values.
        if {span.name for span in self.plan.spans} <= trial.params.keys():
            self.study.enqueue_trial(dict(trial.params))

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Wait for the others that ask, and let them wait."""
        with (self.folder / ASKING).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _counts(trial: Any) -> bool:
    """Say whether a trial is one of those that were asked for: not one that is in line, nor one
    that was taken back."""
    if trial.state == optuna.trial.TrialState.FAIL:
        return BROKE in trial.user_attrs
    return trial.state != optuna.trial.TrialState.WAITING


def _is_held(place: Path) -> bool:
    try:
        with run_lock.held(place):
            return False
    except ValueError:
        return True


def _distribution(span: Span) -> Any:
    return optuna.distributions.FloatDistribution(span.low, span.high, log=span.log)


def _sampler(plan: Plan, drawn: int) -> Any:
    seed = int(np.random.SeedSequence([plan.seed, drawn]).generate_state(1)[0])
    if plan.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, seed=seed)


def _pruner(after: int | None) -> Any:
    if after is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_warmup_steps=after)
