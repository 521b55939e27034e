"""The command line.

python -m experiments list
python -m experiments run [NAME] [--preset paper|default|fast] [--dry-run] [--runs-dir DIR]
                      [--wandb PROJECT] [--resume FOLDER] [--seeds 8 --hparams.beta 0.6 ...]
python -m experiments sweep [NAME] --grid.beta 0.2 0.5 0.8 [as for run]
python -m experiments evaluate FOLDER [--eval.final-episodes 500] [--env.layout medium ...]
python -m experiments render FOLDER [--episodes 4] [--member 0] [--seed 0] [--env.layout medium ...]
python -m experiments robustness FOLDER [--episodes 5 --maps 30 --walls 10]
python -m experiments compare DOMAIN [--algos amortized sac ...] [--preset paper|default|fast]
                      [--dry-run] [--runs-dir DIR] [--resume FOLDER]
                      [--seeds 5 --train.env-steps 20000 ...] [--sac.hparams.tau 0.01 ...]

Every value of a run can be set: python -m experiments run NAME --help lists them.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from experiments import exits


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _run_parser() -> argparse.ArgumentParser:
    """Make the parser of the options that are not values of the run."""
    parser = _Parser(allow_abbrev=False, add_help=False)
    parser.add_argument("--preset")
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--wandb")
    return parser


def _compare_parser() -> argparse.ArgumentParser:
    parser = _Parser(allow_abbrev=False, add_help=False)
    parser.add_argument("--algos", nargs="+")
    parser.add_argument("--preset")
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    return parser


def _render_parser() -> argparse.ArgumentParser:
    parser = _Parser(allow_abbrev=False, add_help=False)
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--member", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    return parser


PARSERS = {"render": _render_parser, "compare": _compare_parser}


def parse(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split words into a command, its name or folder, its options, and the run's values."""
    if not words or words[0] in ("-h", "--help", "help"):
        return argparse.Namespace(command="help"), []
    command, *words = words
    name = words.pop(0) if words and not words[0].startswith("-") else None
    args, rest = PARSERS.get(command, _run_parser)().parse_known_args(words)
    args.command, args.name = command, name
    return args, rest


def main(words: list[str]) -> int:
    """Run one command. -> the exit code: 0, 2 for bad input, 130 when interrupted."""
    # XLA's own log lines would break the live line; what matters is raised as an error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        args, rest = parse(words)
        if args.command == "help":
            print(__doc__)
            return 0
        from experiments.commands import execute  # heavy imports, after the cheap errors

        return execute(args, rest)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return exits.BAD_INPUT
    except KeyboardInterrupt:
        print("stopped; nothing after the last checkpoint is kept", file=sys.stderr)
        return exits.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
