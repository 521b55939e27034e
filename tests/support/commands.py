"""Commands run as a user would, and what their run folders hold."""

import contextlib
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from experiments import find
from experiments.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
SEEDS, EPOCHS, ENV_STEPS, BATCH = 2, 6, 400, 32
TINY = (
    f"run multigoal_amortized --seeds {SEEDS} --algorithm.hidden 16 16 --algorithm.latent-size 4 "
    f"--train.env-steps {ENV_STEPS} --train.epochs {EPOCHS} --train.batch-size {BATCH} "
    f"--train.learning-starts {BATCH} --eval.episodes 4 --eval.final-episodes 4 "
    "--eval.sr5-groups 2"
).split()
BETA = find("multigoal_amortized").config().hparams.beta
PATIENCE = 300.0  # seconds


class Outcome(NamedTuple):
    """A command that has ended: its exit code and all that it said."""

    code: int
    said: str


def command(*words: object) -> Outcome:
    """Run a command in this process."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main([str(word) for word in words])
    return Outcome(code, said.getvalue())


def start(*words: object) -> subprocess.Popen:
    """Start a command in a process of its own."""
    line = [sys.executable, "-m", "experiments", *(str(word) for word in words)]
    return subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def signal_when(process: subprocess.Popen, ready: Callable[[], Any], number: int) -> Outcome:
    """Send a signal as soon as `ready` holds, and wait for the end."""
    deadline = time.monotonic() + PATIENCE
    while not ready() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(number)
    said = process.communicate(timeout=PATIENCE)[0]
    return Outcome(process.returncode, said)


def only_run_in(runs: Path) -> Path:
    (folder,) = (runs / "multigoal_amortized").iterdir()
    return folder


def saved_epochs(folder: Path, kind: str = "checkpoints") -> list[int]:
    """List the epochs that have a whole checkpoint, or the iterations of those `unfinished`."""
    names = (path.name for path in (folder / kind).glob("*"))
    return sorted(int(name) for name in names if name.isdigit())


def saved_arrays(folder: Path, epoch: int) -> list[np.ndarray]:
    """Read all arrays of a checkpoint, without knowing what they are."""
    place = (folder / "checkpoints" / str(epoch)).absolute()
    with ocp.StandardCheckpointer() as checkpointer:
        trees = [checkpointer.restore(place / item) for item in ("agent", "loop")]
    return [np.asarray(leaf) for leaf in jax.tree.leaves(trees)]


def records_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_times(records: list[dict]) -> list[dict]:
    return [{k: v for k, v in r.items() if not k.startswith("time/")} for r in records]


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def damage(checkpoint: Path) -> None:
    """Cut every file of a checkpoint in half."""
    for path in checkpoint.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
