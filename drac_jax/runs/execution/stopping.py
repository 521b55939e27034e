"""Requests to stop a run: by a signal, or by the end of its time limit."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from drac_jax.runs.storage.console import Reporter


class Interrupted(Exception):
    """The user asked to stop; all that was trained is saved."""


class Stop:
    """What a run knows of requests to stop. deadline: of `time.monotonic`, None for none."""

    def __init__(self, reporter: Reporter, deadline: float | None = None):
        self._reporter, self._deadline = reporter, deadline
        self.asked = False  # by a signal

    def due_within(self, seconds: float) -> bool:
        """Say whether the time that was given ends within so many seconds."""
        return self._deadline is not None and time.monotonic() + seconds > self._deadline

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn the first Ctrl-C, SIGTERM or SIGHUP into `asked`."""
        signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup leaves it
            signals.append(signal.SIGHUP)
        before = [signal.signal(number, self._note) for number in signals]
        try:
            yield
        finally:
            for number, handler in zip(signals, before, strict=True):
                signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        self.asked = True
        self._reporter.say("stopping and saving soon; press Ctrl-C again to stop at once")
        signal.signal(signal.SIGINT, signal.default_int_handler)
