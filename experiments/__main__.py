"""`drac-jax <command>`, or `python -m experiments <command>`: see `--help`."""

import sys
from typing import NoReturn

from experiments.cli import terminal
from experiments.cli.main import keep_compiled, leave, main


def command() -> NoReturn:
    """Run the command that the process was started with, and exit."""
    terminal.outlive_readers()
    keep_compiled()
    leave(main(sys.argv[1:]))


if __name__ == "__main__":
    command()
