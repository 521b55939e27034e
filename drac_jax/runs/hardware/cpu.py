"""The processor: its name, its instruction sets, and the precisions that it cannot do."""

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


def suited(options: Any) -> Any:
    """Let a method's options emulate bfloat16 on a CPU: XLA has no kernel for it on most, and on
    those with AMX its kernel crashes the process (jaxlib 0.12, layers of 256)."""
    if options.precision == "bfloat16" and jax.default_backend() == "cpu":
        return replace(options, precision="bfloat16_emulated")
    return options
