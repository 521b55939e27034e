"""Standard output and error that may be closed early, as in `| head -1`: the run goes on."""

import io
import os
import sys
from typing import Any


class _Output(io.FileIO):
    """A file descriptor that turns into the null device where it cannot be written."""

    def write(self, data: Any) -> int | None:
        try:
            return super().write(data)
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return len(data)


def outlive_readers() -> None:
    """Let a reader that goes away, or a full disk, end the printing and nothing else."""
    for name in ("stdout", "stderr"):
        if (stream := getattr(sys, name)) is None:  # closed before the start
            continue
        stream.flush()
        raw = _Output(stream.fileno(), "w", closefd=False)
        lasting = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
        )
        setattr(sys, name, lasting)
