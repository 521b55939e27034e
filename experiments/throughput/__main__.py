"""make bench BENCH=<suite>: one of the suites below, with its own options (--help)."""

import sys

SUITES = ("update", "methods", "envs", "diversity")


def main(words: list[str]) -> int:
    """Run one suite. -> the exit code."""
    suite, *rest = words or [""]
    if suite == "update":
        from experiments.throughput.update import main as run
    elif suite == "methods":
        from experiments.throughput.methods import main as run
    elif suite == "envs":
        from experiments.throughput.environments import main as run
    elif suite == "diversity":
        from experiments.throughput.diversity import main as run
    else:
        print(
            f"error: suite {suite!r} is unknown; use BENCH={' or '.join(SUITES)}", file=sys.stderr
        )
        return 2
    try:
        run(rest)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
