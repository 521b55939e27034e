"""Eight seeds in one program beside eight programs of one seed, one after the other.

MultiGoal, preset default, at the default networks and at 32x2, where a kernel's launch costs as
much as its work.
"""

from dataclasses import dataclass, replace

import jax

from drac_jax.algorithms.registry import DracOptions
from drac_jax.training import sweep
from experiments.throughput import timing
from experiments.throughput.suites.training.iteration import epoch, short_setup

SEEDS = 8
SIZES = ((256, 256), (64, 64), (32, 32))


@dataclass(frozen=True)
class Options(timing.Options):
    """Eight seeds in one program beside eight programs of one seed, one after the other.

    Example: python -m experiments bench sweep
    """

    iterations: int = 25  # per timed call


def contenders(hidden: tuple[int, ...], iterations: int) -> list[timing.Contender]:
    """Make one program of one seed, which stands for eight of them, and one of all seeds."""
    size = f"{hidden[0]}x{len(hidden)}"
    options = replace(DracOptions(), hidden=hidden)
    alone, together = (
        short_setup("multigoal_amortized", "default", iterations, algorithm=options, seeds=seeds)
        for seeds in (1, SEEDS)
    )
    return [epoch(f"{size}: one by one", alone), epoch(f"{size}: {SEEDS} in one program", together)]


def measure(options: Options) -> None:
    """Run the suite."""
    timing.pin(options.one_core)
    made = [one for hidden in SIZES for one in contenders(hidden, options.iterations)]
    timings = timing.side_by_side(made, options.repeats)
    ratios = [
        together.median / alone.median
        for alone, together in zip(timings[::2], timings[1::2], strict=True)
    ]
    way = "side by side" if sweep.side_by_side(SEEDS) == SEEDS else "in turn"
    lines = [
        f"One iteration of one seed, float32, batch 256, {timing.cores()} core(s). "
        f"{SEEDS} seeds of one program run {way} on a {jax.default_backend()}.",
        "",
        timing.table(timings),
        "",
        *(
            f"{hidden[0]}x{len(hidden)}: {SEEDS} seeds in one program cost {ratio:.3f} of "
            f"{SEEDS} programs, one after the other."
            for hidden, ratio in zip(SIZES, ratios, strict=True)
        ),
    ]
    timing.report_suite(options.out, "sweep", timings, "\n".join(lines), {"ratios": ratios})
