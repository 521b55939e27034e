"""Console lines of a run, and its charts on W&B."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.status import Status


class Reporter:
    """Say what happens: a live line on a terminal, plain lines elsewhere; W&B where asked for."""

    def __init__(self, wandb_project: str | None = None, quiet: bool = False):
        self._console = Console(quiet=quiet, highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._wandb = _start_wandb(wandb_project) if wandb_project else None

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False)

    def busy(self, text: str) -> None:
        """Show what is going on now, until the next call."""
        if not self._console.is_terminal:
            return self.say(text)
        if self._status is None:
            self._status = self._console.status("")
            self._status.start()
        self._status.update(text.replace("[", r"\["))

    def log(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Send records to W&B, one group of charts per member."""
        if self._wandb is not None:
            for record in records:
                charts = {f"member{record['member']}/{k}": v for k, v in record.items() if "/" in k}
                self._wandb.log(charts | {"env_steps": record["env_steps"]})

    def close(self) -> None:
        """End the live line."""
        if self._status is not None:
            self._status.stop()
        if self._wandb is not None:
            self._wandb.finish()


def _start_wandb(project: str) -> Any:
    try:
        import wandb
    except ImportError:
        raise ValueError(
            "--wandb needs the package; install it: pip install 'drac_jax[wandb]'"
        ) from None
    return wandb.init(project=project)


def gigabytes(count: int | float) -> str:
    """Format a number of bytes: 0.21 GB."""
    return f"{count / 1e9:.2f} GB"


def duration(seconds: float) -> str:
    """Format a time: 4:05 (minutes and seconds), or 2:04:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
