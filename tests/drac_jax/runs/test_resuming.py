"""Runs that were ended before their first checkpoint, and ends that a terminal or a batch system
asks for."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from drac_jax.runs.execution import pace
from drac_jax.runs.storage import run_lock
from tests.support.commands import (
    ENV_STEPS,
    EPOCHS,
    PATIENCE,
    ROOT,
    TINY,
    command,
    damage,
    only_run_in,
    records_of,
    saved_arrays,
    saved_epochs,
    signal_when,
    start,
    without_times,
)

pytestmark = pytest.mark.heavy

# Epochs and a replay as long as those of TINY, which make it the same compiled programs.
EACH = 61  # env steps of an epoch
LONGER = [
    *TINY,
    *("--train.env-steps", str(ENV_STEPS + (100 - EPOCHS) * EACH), "--train.epochs", "100"),
    *("--train.replay-capacity", str(ENV_STEPS)),
]


def test_a_run_killed_before_its_first_checkpoint_starts_again(finished, tmp_path):
    shutil.copy(finished.folder / "config.json", tmp_path)
    first = records_of(finished.folder)[0]
    (tmp_path / "metrics.jsonl").write_text(json.dumps(first) + "\n")
    outcome = command("run", "--resume", tmp_path)
    assert outcome.code == 0, outcome.said
    assert "has no checkpoint yet: starting from the beginning" in outcome.said
    assert without_times(records_of(tmp_path)) == without_times(records_of(finished.folder))


def test_an_epoch_whose_checkpoint_was_damaged_is_saved_again(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    damage(folder / "checkpoints" / str(EPOCHS))
    outcome = command("run", "--resume", folder)
    assert f"checkpoint {EPOCHS} is damaged" in outcome.said
    assert saved_epochs(folder) == [EPOCHS - 1, EPOCHS]
    pairs = zip(saved_arrays(folder, EPOCHS), saved_arrays(finished.folder, EPOCHS), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden": [8, 8]}, "algorithm.hidden=[16, 16], not [8, 8]"),
        ({"latent_size": 5}, "algorithm.latent_size=4, not 5"),
    ],
)
def test_checkpoints_of_another_config_are_refused_and_kept(finished, tmp_path, change, said):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    identity = json.loads((folder / "config.json").read_text())
    identity["config"]["algorithm"] |= change
    (folder / "config.json").write_text(json.dumps(identity))
    outcome = command("run", "--resume", folder)
    assert outcome.code == 2
    assert said in outcome.said and "is damaged" not in outcome.said
    assert saved_epochs(folder) == [EPOCHS - 1, EPOCHS]


def test_a_second_process_cannot_train_in_a_run_folder(finished):
    with run_lock.held(finished.folder):
        refused = command("run", "--resume", finished.folder)
    assert refused.code == 2
    assert refused.said.splitlines()[-1] == (
        f"error: {finished.folder} is in use by another process; wait until that ends, or stop it "
        "first"
    )


def test_a_killed_process_leaves_no_lock_behind(finished):
    hold = (
        "import sys, pathlib; from drac_jax.runs.storage import run_lock; "
        "l = run_lock.held(pathlib.Path(sys.argv[1]))"
    )
    line = [sys.executable, "-c", f"{hold}; l.__enter__(); print('held', flush=True); input()"]
    with subprocess.Popen(
        [*line, str(finished.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="in use"), run_lock.held(finished.folder):
            pass
        holder.kill()
        holder.wait()
    with run_lock.held(finished.folder):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_asked_to_end_saves_its_epoch(number, tmp_path):
    ended = signal_when(
        start(*LONGER, "--runs-dir", tmp_path),
        lambda: any(path.stat().st_size for path in tmp_path.glob("*/*/metrics.jsonl")),
        number,
    )
    folder = only_run_in(tmp_path)
    assert ended.code == 130, ended.said
    assert f"--resume {folder}" in ended.said
    epochs = max(record["epoch"] for record in records_of(folder))
    assert saved_epochs(folder)[-1] == epochs < 100


def stop_after(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut epochs into single strides, and ask the run to stop after so many of them."""
    took, seen = pace.Pace.took, []

    def count(self: pace.Pace, strides: int, seconds: float) -> None:
        took(self, strides, seconds)
        seen.append(strides)
        if len(seen) == pieces:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(pace, "SECONDS", 0.0)
    monkeypatch.setattr(pace.Pace, "took", count)


def test_a_run_stopped_within_an_epoch_goes_on_bit_for_bit(finished, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        stop_after(70, patch)
        outcome = command(*TINY, "--runs-dir", tmp_path)
    folder = only_run_in(tmp_path)
    assert outcome.code == 130, outcome.said
    assert f"stopped after 9 of 61 iterations of epoch 2 of {EPOCHS}, all saved" in outcome.said
    assert saved_epochs(folder, "unfinished") == [70]
    with pytest.MonkeyPatch.context() as patch:
        stop_after(20, patch)
        again = command("run", "--resume", folder)
    assert "after epoch 1 of 6 and 9 iterations" in again.said
    assert saved_epochs(folder, "unfinished") == [90]
    assert command("run", "--resume", folder).code == 0
    assert saved_epochs(folder, "unfinished") == []
    assert without_times(records_of(folder)) == without_times(records_of(finished.folder))
    pairs = zip(saved_arrays(folder, EPOCHS), saved_arrays(finished.folder, EPOCHS), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_a_run_that_has_no_time_stops_saved_and_goes_on(finished, tmp_path):
    outcome = command(*TINY, "--runs-dir", tmp_path, "--seconds", 2)
    folder = only_run_in(tmp_path)
    assert outcome.code == 130
    assert f"stopped after 0 of 61 iterations of epoch 1 of {EPOCHS}, all saved" in outcome.said
    assert f"--resume {folder}" in outcome.said
    assert command("run", "--resume", folder, "--seconds", 3600).code == 0
    assert without_times(records_of(folder)) == without_times(records_of(finished.folder))


def test_a_run_under_nohup_outlives_its_terminal(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which a child inherits
    try:
        process = start(*TINY, "--runs-dir", tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)
    ended = signal_when(
        process,
        lambda: any(path.stat().st_size for path in tmp_path.glob("*/*/metrics.jsonl")),
        signal.SIGHUP,
    )
    assert ended.code == 0, ended.said
    assert (only_run_in(tmp_path) / "summary.json").exists()


def test_a_run_whose_reader_goes_away_comes_to_its_end(tmp_path):
    process = start(*TINY, "--runs-dir", tmp_path)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(PATIENCE) == 0
    assert (only_run_in(tmp_path) / "summary.json").exists()
