"""The options of a command about the machine: devices, other processes, and time."""

import contextlib
import os
from dataclasses import dataclass

import jax

from drac_jax import ranges
from drac_jax.runs.hardware import hosts


@dataclass(frozen=True)
class Devices:
    """Devices and time."""

    devices: int | None = None  # the first so many, virtual ones on a CPU; None for all it can use
    seconds: float | None = None  # save and stop before so many are over, with exit code 130


@dataclass(frozen=True)
class Machine(Devices):
    """Devices, time, and the other processes of a run on several hosts."""

    distributed: bool = False  # train with the other processes of a TPU pod or of Slurm
    coordinator: str | None = None  # HOST:PORT of process 0, elsewhere
    num_processes: int | None = None  # how many train together
    process_id: int | None = None  # which of them this is, from 0
    coordinator_timeout: float = hosts.Cluster.timeout  # seconds to wait for the others


def set_up(asked: Devices, began: float) -> float | None:
    """Make the devices that are asked for, and meet the other processes, before any array is.

    began: when the command was given, of `time.monotonic`. -> the deadline, on the same clock.
    Raises ValueError for what cannot be.
    """
    if asked.seconds is not None:
        ranges.check_number("seconds", asked.seconds, "--seconds")
    if asked.devices is not None:
        ranges.check_number("devices", asked.devices)
        with contextlib.suppress(RuntimeError):  # too late: the run will say how many there are
            jax.config.update("jax_num_cpu_devices", asked.devices)
    if isinstance(asked, Machine):
        _meet(asked)
    return None if asked.seconds is None else began + asked.seconds


def _meet(asked: Machine) -> None:
    explicit = asked.coordinator, asked.num_processes, asked.process_id
    cluster = hosts.Cluster(*explicit, asked.coordinator_timeout)
    hosts.check(cluster)
    if explicit != (None, None, None) or asked.distributed:
        hosts.join(cluster)
        if not hosts.is_first():  # what is said is said once
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
