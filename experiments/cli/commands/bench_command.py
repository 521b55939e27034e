"""The command `bench`: one suite of benchmarks."""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Annotated

from tyro.conf import Positional, arg

from experiments.cli.options import parsing

# suite -> its module, which has Options and `measure(Options)`; and what it measures.
SUITES = {
    "update": ("drac_update", "one DrAC update, beside PyTorch's"),
    "methods": ("method_updates", "one update of every method"),
    "diversity": ("diversity_kernel", "the diversity kernel, beside a copy of its input"),
    "train": ("training.iteration", "a whole training iteration, beside its update"),
    "sweep": ("training.seeds_together", "eight seeds in one program, beside eight programs"),
    "replay": ("replay_ring", "writing and drawing, beside public buffers"),
    "scaling": ("training.scaling", "one run on 1, 2, 4 and 8 devices"),
    "envs": ("env_steps", "environment steps per second, beside C MuJoCo"),
    "host": ("host_steps", "environment steps of the engine c, beside bare C MuJoCo"),
    "latency": ("action_latency", "one action of every method: JAX, onnxruntime, NumPy"),
    "mario": ("level_generation", "level generation, beside one environment in NumPy"),
    "end_to_end": ("training.end_to_end", "whole training, beside PyTorch's in Gymnasium"),
    "accelerator": ("accelerator", "everything that is asked of one GPU or TPU"),
}
_DESCRIPTIONS = [f"{name}: {what}" for name, (_, what) in SUITES.items()]


@dataclass(frozen=True)
class Bench:
    """Measure throughput: contenders side by side, compile time apart.

    The other options are those of the suite: python -m experiments bench update --help

    Example: python -m experiments bench update --one-core --repeats 10
    """

    suite: Positional[Annotated[str, arg(help="; ".join(_DESCRIPTIONS))]]


def suite_of(name: str) -> ModuleType:
    """Import a suite. Raises ValueError with those there are."""
    if name not in SUITES:
        raise ValueError(f"suite {name!r} is unknown; use one of {', '.join(SUITES)}")
    return import_module(f"experiments.throughput.suites.{SUITES[name][0]}")


def bench(words: list[str], began: float) -> int:
    """Run one suite. -> the exit code."""
    if not words or words[0].startswith("-"):
        if {"-h", "--help"} & set(words):
            parsing.parse(Bench, ["--help"], f"{parsing.PROGRAM} bench")
        raise ValueError(f"bench needs a suite; use one of {', '.join(SUITES)}")
    suite = suite_of(words[0])
    suite.measure(parsing.parse(suite.Options, words[1:], f"{parsing.PROGRAM} bench {words[0]}"))
    return 0
