"""Two processes train one run together: how they meet, stop, die and go on."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from drac_jax.runs.hardware.hosts import Cluster, check
from experiments.cli.main import main
from tests.support.commands import (
    PATIENCE,
    ROOT,
    TINY,
    Outcome,
    only_run_in,
    records_of,
    saved_epochs,
)

EPOCHS = 100  # so many that a signal after the first does not come too late
WORDS = (*TINY[1:], "--train.epochs", EPOCHS, "--train.env-steps", 4000)


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (Cluster("host:1", 2), "go together"),
        (Cluster(count=2, number=0), "go together"),
        (Cluster("host", 2, 0), "'host' must be HOST:PORT"),
        (Cluster("host:port", 2, 0), "'host:port' must be HOST:PORT"),
        (Cluster("host:1", 2, 2), r"--process-id 2 must be in 0\.\.1"),
        (Cluster("host:1", 2, -1), r"--process-id -1 must be in 0\.\.1"),
    ],
)
def test_cluster_that_cannot_be_is_refused(cluster, said):
    with pytest.raises(ValueError, match=said):
        check(cluster)


def test_incomplete_cluster_is_refused_by_the_command_line(capsys):
    assert main(["run", "--num-processes", "2"]) == 2
    assert "error: --coordinator, --num-processes and --process-id go together" in (
        capsys.readouterr().err
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_one(number: int, port: int, *words: object) -> subprocess.Popen:
    """Start process `number` of two."""
    meet = ("--coordinator", f"127.0.0.1:{port}", "--num-processes", 2, "--process-id", number)
    line = [sys.executable, "-m", "experiments", "run", *map(str, (*words, *meet))]
    return subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def outcomes(processes: list[subprocess.Popen]) -> list[Outcome]:
    said = [process.communicate(timeout=3 * PATIENCE)[0] for process in processes]
    return [Outcome(p.returncode, text) for p, text in zip(processes, said, strict=True)]


def run_two(
    *words: object, ready: Callable[[], Any] | None = None, number: int = 0
) -> list[Outcome]:
    """Run both processes; as soon as `ready` holds, send the second of them a signal."""
    port = free_port()
    both = [start_one(i, port, *words) for i in (0, 1)]
    deadline = time.monotonic() + 3 * PATIENCE
    while ready and not ready() and time.monotonic() < deadline:
        if any(process.poll() is not None for process in both):
            break
        time.sleep(0.01)
    if ready:
        both[1].send_signal(number)
    return outcomes(both)


@pytest.mark.heavy
@pytest.mark.parametrize("number", [0, 1])
def test_coordinator_that_cannot_be_reached_is_named_in_time(number):
    port = free_port()
    began = time.monotonic()
    (outcome,) = outcomes([start_one(number, port, "--coordinator-timeout", 3)])
    assert outcome.code == 2
    assert f"127.0.0.1:{port}" in outcome.said
    assert "within 3 s" in outcome.said
    assert time.monotonic() - began < 100.0


class Together(NamedTuple):
    """The run of two processes: asked to stop, killed, and brought to its end."""

    folder: Path
    stopped: list[Outcome]
    killed: list[Outcome]
    ended: list[Outcome]
    saved_when_killed: list[int]


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Together:
    runs = tmp_path_factory.mktemp("together")
    stopped = run_two(
        *(*WORDS, "--runs-dir", runs),
        ready=lambda: any(runs.glob("*/*/metrics.jsonl")),
        number=signal.SIGTERM,
    )
    folder = only_run_in(runs)
    resume, after = ("--resume", folder), saved_epochs(folder)[-1]
    killed = run_two(
        *resume, ready=lambda: saved_epochs(folder)[-1] > after + 1, number=signal.SIGKILL
    )
    saved = saved_epochs(folder)
    ended = run_two(*resume)
    return Together(folder, stopped, killed, ended, saved)


@pytest.mark.slow
def test_stop_request_to_one_process_stops_and_saves_both(together):
    assert [outcome.code for outcome in together.stopped] == [130, 130]
    assert f"--resume {together.folder}" in together.stopped[0].said


@pytest.mark.slow
def test_process_whose_peer_is_killed_ends_and_says_so(together):
    assert together.killed[1].code == -signal.SIGKILL
    assert together.killed[0].code == 2, together.killed[0].said
    assert "error: another of the 2 processes is gone" in together.killed[0].said
    assert together.saved_when_killed != []


@pytest.mark.slow
def test_run_of_two_processes_is_recorded_once(together):
    assert [outcome.code for outcome in together.ended] == [0, 0], together.ended[0].said
    seen = [(record["epoch"], record["seed"]) for record in records_of(together.folder)]
    assert seen == [(epoch, seed) for epoch in range(1, EPOCHS + 1) for seed in (0, 1)]
    assert (together.folder / "summary.json").exists()
    assert "final evaluation" in together.ended[0].said
    assert together.ended[1].said.strip() == ""


@pytest.mark.slow
def test_run_of_two_processes_is_evaluated_by_one(together, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(together.folder, folder)
    assert main(["evaluate", str(folder), "--eval.final-episodes", "3"]) == 0
