"""The run folder: its files, records and JSON."""

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from drac_jax.runs.storage.console import gigabytes

CONFIG, METRICS, SUMMARY, CHECKPOINTS, UNFINISHED, EPISODES, BEST, POST_MORTEM = (
    "config.json",
    "metrics.jsonl",
    "summary.json",
    "checkpoints",
    "unfinished",  # a checkpoint within an epoch
    "episodes.npz",
    "best",  # agents
    "post_mortem",
)
MOST_LETTERS = 120  # of a folder's name
TENSORBOARD, VIDEOS = "tensorboard", "videos"


def new_folder(root: Path, experiment: str) -> Path:
    """Make runs/<experiment>/<id>/, the id being the time. Raises ValueError where it cannot."""
    # `amortized-on-brax:ant` and paths of files are names of experiments, too.
    root = root / re.sub(r"[^\w.+-]+", "_", experiment)[:MOST_LETTERS]
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        folder = root / (stamp + suffix)
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
    raise ValueError(f"too many runs in {root} within one second; start again")


def make_folder(folder: Path) -> None:
    """Make a folder that has a name already, unless it is there. Raises ValueError where it
    cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"cannot make the run folder {folder}: {error.strerror}; choose another with --runs-dir"
        ) from None


def chunk_place(folder: Path, number: int) -> Path:
    """Name the folder of a sweep's chunk, numbered from 1. Older sweeps call it `part_<i>`."""
    former = folder / f"part_{number}"
    return former if former.exists() else folder / f"chunk_{number}"


def find_member(
    folder: Path, config: Mapping[str, Any], count: int, member: int
) -> tuple[Path, int]:
    """Find a member: the folder of its run, and its number there. config: as in config.json;
    count: members of the whole."""
    if config.get("chunks", 0) <= 1 or config["chunk"]:
        return folder, member
    number, inside = divmod(member, count // config["chunks"])
    return chunk_place(folder, number + 1), inside


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


def set_aside_summary(folder: Path, epoch: int) -> None:
    """Keep the summary of a run that goes on after its end, as summary_epoch_0020.json."""
    if (path := folder / SUMMARY).exists():
        path.replace(folder / f"summary_epoch_{epoch:04}.json")
