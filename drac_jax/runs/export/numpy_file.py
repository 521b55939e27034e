"""A program as an .npz that `numpy_policy.py`, which is written beside it, plays without us."""

import json
from pathlib import Path

import numpy as np

from drac_jax.runs.export import numpy_policy
from drac_jax.runs.export.steps import Program

LOADER = Path(numpy_policy.__file__)


def write(program: Program, about: dict, path: Path) -> None:
    """Write a program: its constants by number, and its steps and `about` as JSON."""
    steps = json.dumps({"steps": program.steps, "output": program.output})
    arrays = {"about": np.array(json.dumps(about)), "program": np.array(steps)}
    arrays |= {str(number): array for number, array in program.constants.items()}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
