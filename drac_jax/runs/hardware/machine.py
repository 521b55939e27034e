"""Facts about the machine: processor, free memory, versions, device, git commit."""

import os
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

PACKAGES = (
    "drac_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "mujoco",
    "mujoco-mjx",
    "orbax-checkpoint",
)


@cache
def cpu() -> tuple[str, frozenset[str]]:
    """Read the processor's name and its instruction sets; empty where there is no /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "", frozenset()
    facts = {name.strip(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return facts.get("model name", ""), frozenset(facts.get("flags", "").split())


def free_memory() -> float:
    """Count the bytes that arrays can take on this process's first device."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def environment_facts() -> dict[str, Any]:
    """Collect versions, device and git commit, which are needed to repeat the run."""
    device = jax.devices()[0]
    return {
        "versions": {"python": sys.version.split()[0]}
        | {name: _version(name) for name in PACKAGES},
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "git_commit": _git_commit(),
    }


def gpu_driver() -> str | None:
    """Read the version of NVIDIA's driver; None where there is none."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0].strip() if done.stdout.strip() else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # a clone on the path, not installed
        return None


def _git_commit() -> str | None:
    """Describe the clone's commit; None for an installed package, which may lie in the folder of
    another repository."""
    here = Path(__file__)
    try:
        for command in (
            ["git", "ls-files", "--error-unmatch", here.name],
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        ):
            done = subprocess.run(
                command, cwd=here.parent, capture_output=True, text=True, check=True
            )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
