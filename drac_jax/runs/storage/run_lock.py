"""A lock on a run folder, so that only one process trains in it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drac_jax.runs.hardware import hosts

NAME = "run.lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run folder's lock. The operating system drops it with the process that holds it, so
    a crash leaves none behind. Raises ValueError where another process holds it."""
    descriptors: list[int] = []

    def take() -> str:
        try:
            descriptors.append(os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644))
            fcntl.flock(descriptors[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{folder} is in use by another process; wait until that ends, or stop it first"
            ) from None
        except OSError:  # no right to write, which is said elsewhere, or a disk without locks
            pass
        return ""

    try:
        hosts.from_first(take)
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
