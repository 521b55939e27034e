"""A contender as a process, in an interpreter that has what it needs."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from threading import Timer
from types import MappingProxyType
from typing import Any

from experiments.throughput import timing

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


class ContenderProcess:
    """A script in an interpreter of its own.

    It prints a line of JSON when it is ready, and then one for each line that it is sent, or as it
    goes on. What reads them raises ValueError, with what it said last, where it broke down.
    option: of the command line, which names the interpreter.
    """

    def __init__(
        self,
        python: str | None,
        words: Sequence[str],
        env: Mapping[str, str] = NO_VARIABLES,
        option: str = "--torch-python",
    ):
        if not python:
            raise ValueError(f"no {option}")
        # A pipe that nobody reads would fill up.
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        pipe = subprocess.PIPE
        try:
            self.process = subprocess.Popen(
                [python, *words],
                stdin=pipe,
                stdout=pipe,
                stderr=self.errors,
                text=True,
                env=os.environ | dict(env),
            )
        except OSError as error:
            raise ValueError(f"{option} {python}: {error.strerror}") from None

    def read(self) -> dict[str, Any]:
        """Wait for its next line. The first says that it is ready."""
        for line in self.process.stdout or ():
            if line.startswith("{"):  # imports may print as well
                return json.loads(line)
        self.close()
        raise ValueError(self._last_words())

    def lines(self, seconds: float) -> Generator[dict[str, Any]]:
        """Yield its lines for so long; then it is killed, as it is when no more are asked for."""
        timer, ends = Timer(seconds, self.process.kill), time.perf_counter() + seconds
        timer.start()
        try:
            for line in self.process.stdout or ():
                if line.startswith("{"):
                    yield json.loads(line)
            timed_out = time.perf_counter() >= ends
        finally:
            timer.cancel()
            self.process.kill()
            self.process.wait()
        if not timed_out:
            raise ValueError(self._last_words())

    def measure(self) -> timing.Seconds:
        """Have it time its work once."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        return timing.Seconds(self.read()["seconds"])

    def close(self) -> None:
        """End its input, and wait for it to end as well."""
        self.process.communicate()

    def _last_words(self) -> str:
        self.errors.seek(0)
        said = self.errors.read().strip().splitlines()
        return said[-1] if said else "it ended without a word"
