"""Runs of several processes, on one host or many. A single process needs none of it.

All of them run the same program on their share of the devices. The first one speaks and writes.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

from drac_jax import ranges

TEXT_BYTES = 4096
SILENCE = 300  # seconds without a sign of life until a process counts as dead
_STATUS = re.compile(r"[A-Z_]+: ")  # what the runtime's errors begin with, ValueErrors among them


@dataclass(frozen=True)
class Cluster:
    """How processes find each other. address: HOST:PORT of the first, None (as are the others)
    where a TPU pod or Slurm says so; count, number: processes, and which this is; timeout: s."""

    address: str | None = None
    count: int | None = None
    number: int | None = None
    timeout: float = 60.0


def check(cluster: Cluster) -> None:
    """Raise ValueError where the values cannot be."""
    ranges.check_number("coordinator_timeout", cluster.timeout, "--coordinator-timeout")
    given = (cluster.address, cluster.count, cluster.number)
    if given == (None, None, None):
        return
    if None in given:
        raise ValueError("--coordinator, --num-processes and --process-id go together; give all")
    host, _, port = str(cluster.address).rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        raise ValueError(f"--coordinator {cluster.address!r} must be HOST:PORT, of process 0")
    ranges.check_number("port", int(port), f"--coordinator {cluster.address!r}: port")
    ranges.check_number("num_processes", cluster.count, "--num-processes")
    if not 0 <= int(cluster.number or 0) < int(cluster.count or 0):
        raise ValueError(
            f"--process-id {cluster.number} must be in 0..{int(cluster.count or 0) - 1}, the "
            f"numbers of --num-processes {cluster.count}"
        )


def join(cluster: Cluster) -> None:
    """Meet the other processes, before any array is made. Raises ValueError where they do not
    come in time, naming the address."""
    check(cluster)
    failures: list[Exception] = []

    def initialize() -> None:
        try:
            jax.distributed.initialize(
                cluster.address,
                cluster.count,
                cluster.number,
                initialization_timeout=int(cluster.timeout) + 600,
                heartbeat_timeout_seconds=SILENCE,
                shutdown_timeout_seconds=SILENCE,
            )
        except Exception as error:  # ours to report, in the thread that waits
            failures.append(error)

    # Its own time-out aborts the process, with a stack trace of C++ for a message.
    thread = threading.Thread(target=initialize, daemon=True)
    thread.start()
    thread.join(cluster.timeout)
    if thread.is_alive():
        raise ValueError(_absent(cluster))
    if failures:
        raise ValueError(_unknown(cluster, failures[0]))


def _absent(cluster: Cluster) -> str:
    if cluster.address is None:
        return f"the processes did not all come within {cluster.timeout:g} s; start them together"
    if cluster.number == 0:
        others = f"not all {cluster.count} processes came to {cluster.address}"
        return f"{others} within {cluster.timeout:g} s; start them with the same --coordinator"
    return (
        f"no answer of all {cluster.count} processes at {cluster.address} within "
        f"{cluster.timeout:g} s; start process 0 there, open the port, or give more "
        f"--coordinator-timeout"
    )


def _unknown(cluster: Cluster, error: Exception) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if cluster.address is None:
        return (
            f"--distributed finds neither a TPU pod nor Slurm here ({reason}); give --coordinator "
            f"HOST:PORT --num-processes N --process-id I"
        )
    return f"cannot meet at {cluster.address}: {reason}; choose another --coordinator HOST:PORT"


def is_first() -> bool:
    """Say whether this process speaks and writes."""
    return jax.process_index() == 0


def any_asks(asks: bool) -> bool:
    """Agree on whether any process asks for something; all must call it."""
    if jax.process_count() == 1:
        return asks
    return bool(multihost_utils.process_allgather(np.array(asks)).any())


@contextmanager
def together() -> Iterator[None]:
    """Raise ValueError where the processes can no longer exchange arrays: one of them is gone."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if (count := jax.process_count()) == 1 or not _STATUS.match(str(error)):
            raise
        first_line = str(error).splitlines()[0]
        raise ValueError(
            f"another of the {count} processes is gone ({first_line}); start all of them again "
            f"with --resume"
        ) from None


def from_first(make: Callable[[], str]) -> str:
    """Let the first process alone make a text, and give it to all, or its ValueError; all must
    call it."""
    if jax.process_count() == 1:
        return make()
    said = {}
    if is_first():
        try:
            said = {"text": make()}
        except ValueError as error:
            said = {"error": str(error)}
    padded = np.zeros(TEXT_BYTES, np.uint8)
    words = np.frombuffer(json.dumps(said).encode()[:TEXT_BYTES], np.uint8)
    padded[: len(words)] = words
    everyone = bytes(multihost_utils.broadcast_one_to_all(padded)).rstrip(b"\0")
    heard = json.loads(everyone)
    if "error" in heard:
        raise ValueError(heard["error"])
    return heard["text"]
