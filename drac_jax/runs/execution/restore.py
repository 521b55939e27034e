"""Restoring a run from the newest checkpoint of its folder that can be read."""

from pathlib import Path

from drac_jax.runs.execution.programs import Carry
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage.checkpoint import Checkpoints, RunState
from drac_jax.runs.storage.console import Reporter


class NoCheckpoint(ValueError):
    """A run has no checkpoint that can be read."""


def newest(
    setup: RunSetup, like: Carry, checkpoints: Checkpoints, unfinished: Path, reporter: Reporter
) -> tuple[RunState, int]:
    """Restore the newest state of a run, be it within an epoch or at the end of one. -> with the
    iterations until then.

    like: the shapes; checkpoints: of ends of epochs; unfinished: the folder of what was saved
    within an epoch. Raises as `load` does.
    """
    per_epoch = setup.schedule.iterations_per_epoch
    if unfinished.exists():
        within = Checkpoints(unfinished, keep=1)
        whole = max(checkpoints.numbers(), default=0) * per_epoch
        if max(within.numbers(), default=-1) >= whole:
            try:
                return load(setup, like, within, reporter)
            except NoCheckpoint:
                pass  # it was damaged, as was said
    saved, epoch = load(setup, (like[0], None), checkpoints, reporter)
    return saved, epoch * per_epoch


def load(
    setup: RunSetup, like: RunState, checkpoints: Checkpoints, reporter: Reporter
) -> tuple[RunState, int]:
    """Restore the newest readable checkpoint, and its number; a damaged newer one is dropped.

    Raises NoCheckpoint where none can be read, ValueError where it was written with another
    config.
    """
    for number in checkpoints.numbers():
        try:
            # Before the arrays are read: those of another config need not fit, and are not damaged.
            if not (found := run_setup.mismatch(checkpoints.meta(number), setup)):
                return checkpoints.restore(number, like), number
        except Exception as error:  # Orbax raises whatever its storage does
            first_line = (str(error) or type(error).__name__).splitlines()[0]
            reporter.say(f"checkpoint {number} is damaged, using the one before it: {first_line}")
            checkpoints.drop(number)
            continue
        raise ValueError(f"the checkpoint was written with another config: {'; '.join(found)}")
    raise NoCheckpoint("there is no checkpoint that can be read; start a new run")
