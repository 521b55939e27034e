"""Processes that get ready together and then measure one at a time.

Most of a part's time is compiling, which is the host's work: all parts compile at once, and none
measures before the last is ready. A part that breaks down costs no other its figures.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKER = "experiments.throughput.accelerator.worker"


@dataclass(frozen=True)
class Limits:
    """Seconds: until all are ready, for one part's turn, and for everything."""

    ready: float
    turn: float
    whole: float


class Player:
    """One part's process. That it is ready, and that it ended, is put into `said` as (name,
    True) and (name, False)."""

    def __init__(
        self, request: Mapping[str, Any], environment: Mapping[str, str], said: Any, module: str
    ):
        self.name = request["part"]
        self.log = Path(request["out"]) / f"{self.name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, json.dumps(dict(request))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} | dict(environment),
            )
        threading.Thread(target=self._listen, args=(said,), daemon=True).start()

    def _listen(self, said: Any) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == "ready":
                said.put((self.name, True))
        self.process.wait()
        said.put((self.name, False))

    def measure(self, seconds: float) -> str:
        """Give it its turn. -> what went wrong, or nothing."""
        try:
            self.process.communicate("go\n", timeout=seconds)
        except subprocess.TimeoutExpired:
            return self.stop(f"not done within {seconds:.0f} s")
        return "" if self.process.returncode == 0 else self.failure()

    def failure(self) -> str:
        """Quote the last line of its log."""
        lines = [line for line in self.log.read_text().splitlines() if line.strip()]
        return f"broke down: {lines[-1] if lines else f'exit {self.process.returncode}'}"

    def stop(self, why: str) -> str:
        """End it. -> why."""
        self.process.kill()
        self.process.wait()
        return why


def play(
    requests: Sequence[tuple[Mapping[str, Any], Mapping[str, str]]],
    limits: Limits,
    module: str = WORKER,
) -> dict[str, str]:
    """Play all parts. requests: the JSON of each and its environment; module: what plays one. ->
    what went wrong, by part, empty for those that are done."""
    end = time.monotonic() + limits.whole
    said: queue.Queue[tuple[str, bool]] = queue.Queue()
    players = {r["part"]: Player(r, environment, said, module) for r, environment in requests}
    ready = _wait(said, set(players), min(end, time.monotonic() + limits.ready))
    late = {}  # they would disturb the others
    for name, player in players.items():
        if name not in ready and player.process.poll() is None:
            late[name] = player.stop("not ready in time")
    failures: dict[str, str] = {}
    for name, player in players.items():
        left = end - time.monotonic()
        if name in ready and left > 1.0:
            failures[name] = player.measure(min(left, limits.turn))
        elif name in ready:
            failures[name] = player.stop("no time left")
        else:
            failures[name] = late.get(name) or player.failure()
        print(f"{name}: {failures[name] or 'done'}", flush=True)
    return failures


def _wait(said: Any, waiting: set[str], until: float) -> set[str]:
    """Wait until every part is ready or gone. -> those that are ready."""
    ready = set()
    while waiting and (left := until - time.monotonic()) > 0:
        try:
            name, is_ready = said.get(timeout=left)
        except queue.Empty:
            break
        waiting.discard(name)
        if is_ready:
            ready.add(name)
            print(f"{name}: ready", flush=True)
    return ready
