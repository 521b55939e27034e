"""Charts of a run for TensorBoard: event files in its folder, a log per member."""

import importlib.util
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drac_jax.runs.storage import run_folder

SECONDS = 10  # until what was logged is in the file


def check() -> None:
    """Raise ValueError where the package is missing."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise ValueError(
            "--tensorboard needs tensorboardX; install it: pip install 'drac_jax[tensorboard]'"
        )


class Charts:
    """Event files of one run. folder: of the run; labels: of its members."""

    def __init__(self, folder: Path, labels: Sequence[Mapping[str, Any]]):
        from tensorboardX import SummaryWriter  # an extra

        place = folder / run_folder.TENSORBOARD
        # Written anew from the records: those of steps that are computed again are gone from there.
        shutil.rmtree(place, ignore_errors=True)
        # A TensorBoard that is watching forgets what it has read of this run.
        self._writers = [SummaryWriter(str(place / _name(label)), purge_step=0) for label in labels]
        self.log(run_folder.read_records(folder / run_folder.METRICS))

    def log(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records, over env steps, under the names of their metrics."""
        for record in records:
            writer, step = self._writers[record["member"]], record["env_steps"]
            for name, value in record.items():
                if "/" in name and value is not None:
                    writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Finish the files."""
        for writer in self._writers:
            writer.close()


def _name(label: Mapping[str, Any]) -> str:
    """Name a member's log: seed_0, or seed_0_beta_0.5."""
    return "_".join(f"{name}_{value:g}" for name, value in label.items())
