"""The commands `list` and `decoder`."""

from dataclasses import dataclass

from rich.console import Console

from drac_jax.algorithms.registry import METHODS
from envs.foreign.libraries import LIBRARIES
from experiments import EXPERIMENTS
from experiments.cli.options import parsing

# What `--env` may name, besides `envs.ENVIRONMENTS`.
NAMED = (*(f"{library}:NAME" for library in LIBRARIES), "MODULE:FUNCTION", "FILE.py:FUNCTION")


@dataclass(frozen=True)
class List:
    """List the tasks, with their presets, and the methods.

    Example: python -m experiments list
    """


def list_experiments(words: list[str], began: float) -> int:
    """Print the tasks, a line each, and the methods; an experiment is one of each."""
    parsing.parse(List, words, f"{parsing.PROGRAM} list")
    tasks = {name.rpartition("_")[0]: task for name, task in EXPERIMENTS.items()}
    width = max(map(len, tasks))
    for name, task in tasks.items():
        summary = task.summary.rpartition(": ")[0]
        print(f"{name:{width}}  {summary} [{', '.join(task.presets)}]")
    print("\nEach of them with every method, as in multigoal_sac:")
    for name, method in METHODS.items():
        print(f"{name:{width}}  {method.summary}")
    print(f"\nAnd any environment by its name: run amortized --env {' | '.join(NAMED)}")
    return 0


def decoder(words: list[str], began: float) -> int:
    """Train a level decoder. -> the exit code."""
    from envs.mario.decoder_training import train_decoder  # which nothing else here needs

    asked = parsing.parse(train_decoder.Options, words, f"{parsing.PROGRAM} decoder")
    try:
        train_decoder.run(asked, Console())
    except OSError as error:
        raise ValueError(str(error)) from None
    return 0
