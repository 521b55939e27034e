"""An interpreter that has PyTorch, as a process that times itself when it is told to."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.throughput import timing


class TorchProcess:
    """A script in another interpreter, idle between its turns.

    It prints a line of JSON when it is ready, and one for each line that it is sent. `read` raises
    ValueError, with what it said, where there is none.
    """

    def __init__(
        self, python: str | None, script: Path, words: Sequence[str], env: Mapping[str, str]
    ):
        if not python:
            raise ValueError("no --torch-python")
        pipe = subprocess.PIPE
        try:
            self.process = subprocess.Popen(
                [python, str(script), *words],
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                text=True,
                env=os.environ | dict(env),
            )
        except OSError as error:
            raise ValueError(f"--torch-python {python}: {error.strerror}") from None

    def read(self) -> dict[str, Any]:
        """Wait for its next line. The first says that it is ready."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            said = self.process.communicate()[1].strip().splitlines()
            raise ValueError(said[-1] if said else "it ended without a word")
        return json.loads(line)

    def measure(self) -> timing.Seconds:
        """Have it time its updates once."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        return timing.Seconds(self.read()["seconds_per_update"])

    def close(self) -> None:
        """End it."""
        self.process.communicate()
