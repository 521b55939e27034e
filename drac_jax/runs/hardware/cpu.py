"""The processor: its name, its instruction sets, and whether it multiplies bfloat16."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

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


def suited(options: Any) -> Any:
    """Let a method's options emulate bfloat16 where the device has no products of it."""
    if options.precision == "bfloat16" and not multiplies_bfloat16():
        return replace(options, precision="bfloat16_emulated")
    return options
