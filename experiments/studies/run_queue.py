"""The runs of a study as a queue on disk, at which any number of processes may work.

Each run has a folder of its own, whose lock its process holds: a process that is killed leaves the
run to the next one, which goes on from its last checkpoint. A run that is finished leaves one
compact record; one that breaks down leaves the reason, and is passed over until it is asked for
again.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from drac_jax.runs import comparison
from drac_jax.runs.execution.runner import Run
from drac_jax.runs.execution.stopping import Interrupted
from drac_jax.runs.setup import run_setup
from drac_jax.runs.storage import run_folder, run_lock
from drac_jax.runs.storage.console import Reporter
from experiments.studies import run_record
from experiments.studies.study import PlannedRun, Study

BROKEN = "broken.txt"


def place_of(study: Study, runs_dir: Path) -> Path:
    """Name a study's folder."""
    return runs_dir / "studies" / study.name


def work(
    study: Study, runs_dir: Path, reporter: Reporter, deadline: float | None, retry: bool = False
) -> None:
    """Train what no other process does, until there is nothing left of it. deadline: as of `Run`;
    retry: take up again what broke down. Raises Interrupted when the user asks to stop, or when
    the time is over."""
    place = place_of(study, runs_dir)
    for run in study.runs:
        folder = place / run.name
        run_folder.make_folder(folder)
        if run_record.path_of(place, run).exists() or (folder / BROKEN).exists() and not retry:
            continue
        with ExitStack() as stack:
            try:
                stack.enter_context(run_lock.held(folder))
            except ValueError:
                continue  # another process is at it
            if not run_record.path_of(place, run).exists():  # nor was, a moment ago
                _train(run, place, reporter, deadline)


def _train(run: PlannedRun, place: Path, reporter: Reporter, deadline: float | None) -> None:
    folder = place / run.name
    (folder / BROKEN).unlink(missing_ok=True)
    reporter.say(f"{run.name}: {run.experiment_name} [{run.preset}] -> {folder}")
    stopped = False
    try:
        if not comparison.is_finished(folder):
            setup, _ = run_setup.prepare(run.experiment, run.config, run.preset)
            session = Run(setup, folder, reporter, deadline)
            speed = comparison.begin_or_go_on(session)["timings"]["env_steps_per_s"]
            reporter.say(f"{run.name}: done, {speed:,.0f} env steps/s")
            stopped = session.stop.asked
        run_record.write(run, place)
    except ValueError as error:
        reporter.say(f"{run.name} broke down: {error}")
        (folder / BROKEN).write_text(f"{error}\n")
    if stopped:
        raise Interrupted(f"stopped after {run.name}, all saved")


def status(study: Study, runs_dir: Path) -> list[list[str]]:
    """Tell how far each run is. -> rows of (run, state, epochs, env steps, last return)."""
    place = place_of(study, runs_dir)
    return [[run.name, *_state(run, place)] for run in study.runs]


def _state(run: PlannedRun, place: Path) -> Sequence[str]:
    folder = place / run.name
    records = run_folder.read_records(folder / run_folder.METRICS)
    epochs, steps, score = "", "", ""
    if records:
        last = records[-1]
        epochs = f"{last['epoch']} of {run.config.train.epochs}"
        steps, score = f"{last['env_steps']:,}", f"{last['eval/return']:,.4g}"
    if run_record.path_of(place, run).exists():
        return "done", epochs, steps, score
    if (folder / BROKEN).exists():
        return f"broke down: {(folder / BROKEN).read_text().strip()}", epochs, steps, score
    if _is_held(folder):
        return "training", epochs, steps, score
    return "stopped" if (folder / run_folder.CONFIG).exists() else "waiting", epochs, steps, score


def _is_held(folder: Path) -> bool:
    if not folder.exists():
        return False
    try:
        with run_lock.held(folder):
            return False
    except ValueError:
        return True
