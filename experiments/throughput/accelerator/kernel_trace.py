"""Where the time of a call goes: its kernels on the device, from one profiled call."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

TOP = 12


class Trace(NamedTuple):
    """One profiled call. kernels: how many ran on the device; busy: the share of the call's time
    in which one ran; top: (kernel, how often, share of the device's time), the largest first."""

    kernels: int
    busy: float
    top: list[tuple[str, int, float]]


def trace(call: Callable[[], Any]) -> Trace | None:
    """Profile one call that has been compiled. -> None where the device has no kernels to show, as
    a CPU. The profiler slows the call down, so that `busy` is a lower bound."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            began = time.perf_counter()
            jax.block_until_ready(call())
            seconds = time.perf_counter() - began
        found = list(Path(folder).rglob("*.xplane.pb"))
        return _summary(found[0], seconds) if found else None


def _summary(path: Path, seconds: float) -> Trace | None:
    counts: Counter[str] = Counter()
    times: Counter[str] = Counter()
    spans: list[tuple[float, float]] = []
    for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
        if not plane.name.startswith("/device:"):
            continue
        for line in plane.lines:
            if not line.name.startswith("Stream"):
                continue  # the same kernels once more, by module or by operation
            for event in line.events:
                counts[event.name] += 1
                times[event.name] += event.duration_ns
                spans.append((event.start_ns, event.start_ns + event.duration_ns))
    if not spans:
        return None
    total = sum(times.values())
    top = [(name[:80], counts[name], round(t / total, 4)) for name, t in times.most_common(TOP)]
    return Trace(len(spans), _covered(spans) / (seconds * 1e9), top)


def _covered(spans: list[tuple[float, float]]) -> float:
    """Measure the union of intervals."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
