"""What the processor is and can do, where the system says so."""

from functools import cache
from pathlib import Path

import jax


@cache
def cpu() -> tuple[str, frozenset[str]]:
    """Read the processor's name and its instruction sets; empty where there is no /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "", frozenset()
    facts = {name.strip(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return facts.get("model name", ""), frozenset(facts.get("flags", "").split())


def multiplies_bfloat16() -> bool:
    """Say whether the device has bfloat16 products of its own: of CPUs, those with AMX."""
    return jax.default_backend() != "cpu" or "amx_bf16" in cpu()[1]
