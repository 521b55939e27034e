"""What a run leaves and says: its folder, its records, its console lines."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.status import Status

CONFIG, METRICS, SUMMARY, CHECKPOINTS, UNFINISHED, EPISODES = (
    "config.json",
    "metrics.jsonl",
    "summary.json",
    "checkpoints",
    "unfinished",  # a checkpoint within an epoch
    "episodes.npz",
)
PACKAGES = (
    "drac_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "mujoco",
    "mujoco-mjx",
    "orbax-checkpoint",
)


def new_folder(root: Path, experiment: str) -> Path:
    """Make runs/<experiment>/<id>/, the id being the time. Raises ValueError where it cannot."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        folder = root / experiment / (stamp + suffix)
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise ValueError(
                f"cannot make the run folder {folder}: {error.strerror}; choose another with "
                f"--runs-dir"
            ) from None
    raise ValueError(f"too many runs in {root / experiment} within one second; start again")


def check_writable(folder: Path, needed_bytes: int) -> None:
    """Raise ValueError unless the folder takes files and its disk has room for the checkpoints."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"no right to write to {folder}; choose another with --runs-dir")
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise ValueError(
            f"{folder} has {gigabytes(free)} free but the checkpoints need "
            f"{gigabytes(needed_bytes)}; free some, or choose another disk with --runs-dir"
        )


def free_memory() -> float:
    """Count the bytes that arrays can take on this process's first device."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def gigabytes(count: int | float) -> str:
    """Format a number of bytes: 0.21 GB."""
    return f"{count / 1e9:.2f} GB"


def duration(seconds: float) -> str:
    """Format a time: 4:05 (minutes and seconds), or 2:04:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def environment_facts() -> dict[str, Any]:
    """Collect versions, device and git commit, for whoever wants to repeat the run."""
    device = jax.devices()[0]
    return {
        "versions": {"python": sys.version.split()[0]}
        | {name: _version(name) for name in PACKAGES},
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "git_commit": _git_commit(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # a clone on the path, not installed
        return None


def _git_commit() -> str | None:
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file so that a crash leaves the old one or the new one."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file. Raises ValueError where it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path.parent} is not a run folder: it has no {path.name}") from None
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def append_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append one line per record; not-a-number becomes null, which JSON can hold."""
    with path.open("a") as file:
        for record in records:
            clean = {k: None if v != v else v for k, v in record.items()}
            file.write(json.dumps(clean) + "\n")


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read the whole lines of a JSONL file; a half-written last line is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(True) if line.endswith("\n")]


def drop_records_after(path: Path, epoch: int) -> None:
    """Keep the records up to `epoch`: what follows will be computed again."""
    kept = [record for record in read_records(path) if record["epoch"] <= epoch]
    draft = path.with_suffix(".tmp")
    draft.write_text("".join(json.dumps(record) + "\n" for record in kept))
    draft.replace(path)


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
            "--wandb needs the package; install it: pip install -e '.[wandb]'"
        ) from None
    return wandb.init(project=project)
