"""make bench BENCH=<suite>: one of the suites below, with its own options (--help)."""

import sys
from importlib import import_module

from experiments.cli import output

# The modules of the suites; each has a `main(words)`.
SUITES = {
    "update": "drac_update",
    "methods": "method_updates",
    "diversity": "diversity_kernel",
    "train": "iteration",
    "sweep": "seeds_together",
    "replay": "replay_ring",
    "scaling": "scaling",
    "envs": "env_steps",
    "mario": "level_generation",
    "accelerator": "accelerator",
}


def main(words: list[str]) -> int:
    """Run one suite. -> the exit code."""
    suite, *rest = words or [""]
    if suite not in SUITES:
        known = " or ".join(SUITES)
        print(f"error: suite {suite!r} is unknown; use BENCH={known}", file=sys.stderr)
        return 2
    try:
        import_module(f"experiments.throughput.suites.{SUITES[suite]}").main(rest)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    output.outlive_readers()
    sys.exit(main(sys.argv[1:]))
