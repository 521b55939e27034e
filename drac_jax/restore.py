"""The way back into a run: the newest checkpoint of its folder that can be read."""

from pathlib import Path

from drac_jax import job as jobs
from drac_jax import report
from drac_jax.checkpoint import Carry, Checkpoints
from drac_jax.job import Job
from drac_jax.programs import sums_shapes
from drac_jax.report import Reporter
from drac_jax.train import TrainState


class NoCheckpoint(ValueError):
    """A run has no checkpoint that can be read."""


def newest(job: Job, like: TrainState, folder: Path, reporter: Reporter) -> tuple[Carry, int]:
    """Restore the newest state of a run, be it within an epoch or at the end of one. -> with the
    iterations until then.

    like: from `abstract_state`. Raises as `load` does.
    """
    checkpoints = Checkpoints(folder / report.CHECKPOINTS)
    per_epoch = job.schedule.iterations_per_epoch
    if (place := folder / report.UNFINISHED).exists():
        unfinished = Checkpoints(place, keep=1)
        whole = max(checkpoints.numbers(), default=0) * per_epoch
        if max(unfinished.numbers(), default=-1) >= whole:
            try:
                return load(job, (like, sums_shapes(job, like)), unfinished, reporter)
            except NoCheckpoint:
                pass  # it was damaged, as was said
    carry, epoch = load(job, (like, None), checkpoints, reporter)
    return carry, epoch * per_epoch


def drop_unfinished(folder: Path) -> None:
    """Remove what was saved within an epoch, when that is finished and saved."""
    if (place := folder / report.UNFINISHED).exists():
        unfinished = Checkpoints(place, keep=1)
        for number in unfinished.numbers():
            unfinished.drop(number)


def load(job: Job, like: Carry, checkpoints: Checkpoints, reporter: Reporter) -> tuple[Carry, int]:
    """Restore the newest readable checkpoint, and its number; a damaged newer one is dropped.

    Raises NoCheckpoint where none can be read, ValueError where it was written with another
    config.
    """
    for number in checkpoints.numbers():
        try:
            saved = checkpoints.meta(number)
            if not (found := jobs.mismatch(saved, job)):
                return checkpoints.restore(number, like), number
        except Exception as error:  # Orbax raises whatever its storage does
            first_line = (str(error) or type(error).__name__).splitlines()[0]
            reporter.say(f"checkpoint {number} is damaged, using the one before it: {first_line}")
            checkpoints.drop(number)
            continue
        raise ValueError(f"the checkpoint was written with another config: {'; '.join(found)}")
    raise NoCheckpoint("there is no checkpoint that can be read; start a new run")
