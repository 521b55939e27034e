"""python -m experiments <command>: see `python -m experiments --help`."""

import sys

from experiments.cli import terminal
from experiments.cli.main import keep_compiled, leave, main

if __name__ == "__main__":
    terminal.outlive_readers()
    keep_compiled()
    leave(main(sys.argv[1:]))
