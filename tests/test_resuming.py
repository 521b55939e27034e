"""Runs that were ended before their first checkpoint, and ends that a terminal or a batch system
asks for."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drac_jax import run_lock
from tests.test_runs import (
    PATIENCE,
    ROOT,
    TINY,
    command,
    only_run_in,
    records_of,
    saved_epochs,
    signal_when,
    start,
    without_times,
)

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    runs = tmp_path_factory.mktemp("finished")
    outcome = command(*TINY, "--runs-dir", runs)
    assert outcome.code == 0, outcome.said
    return only_run_in(runs)


def test_a_run_killed_before_its_first_checkpoint_starts_again(finished, tmp_path):
    shutil.copy(finished / "config.json", tmp_path)
    first = records_of(finished)[0]
    (tmp_path / "metrics.jsonl").write_text(json.dumps(first) + "\n")
    outcome = command("run", "--resume", tmp_path)
    assert outcome.code == 0, outcome.said
    assert "has no checkpoint yet: starting from the beginning" in outcome.said
    assert without_times(records_of(tmp_path)) == without_times(records_of(finished))


def test_a_second_process_cannot_train_in_a_run_folder(finished):
    with run_lock.held(finished):
        refused = command("run", "--resume", finished)
    assert refused.code == 2
    assert refused.said.splitlines()[-1] == (
        f"error: {finished} is in use by another process; wait until that ends, or stop it first"
    )


def test_a_killed_process_leaves_no_lock_behind(finished):
    hold = (
        "import sys, pathlib, drac_jax.run_lock as lock; l = lock.held(pathlib.Path(sys.argv[1]))"
    )
    line = [sys.executable, "-c", f"{hold}; l.__enter__(); print('held', flush=True); input()"]
    with subprocess.Popen(
        [*line, str(finished)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="in use"), run_lock.held(finished):
            pass
        holder.kill()
        holder.wait()
    with run_lock.held(finished):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_asked_to_end_saves_its_epoch(number, tmp_path):
    longer = [*TINY, "--train.env-steps", "4000", "--train.epochs", "100"]
    ended = signal_when(
        start(*longer, "--runs-dir", tmp_path),
        lambda: any(path.stat().st_size for path in tmp_path.glob("*/*/metrics.jsonl")),
        number,
    )
    folder = only_run_in(tmp_path)
    assert ended.code == 130, ended.said
    assert f"--resume {folder}" in ended.said
    epochs = max(record["epoch"] for record in records_of(folder))
    assert saved_epochs(folder)[-1] == epochs < 100


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
