"""Every method with networks so small that it compiles fast."""

from dataclasses import replace
from typing import Any

from drac_jax.algorithms.registry import METHODS

# Those that are programs of their own: the other is diffusion's with fewer steps.
DISTINCT = [method for method in METHODS if method != "diffusion5"]
SMALL = {
    "hidden": (8, 8),
    "num_samples": 3,
    "particles": 3,
    "candidates": 3,
    "steps": 5,
    "svgd_steps": 2,
    "mixture_components": 2,
    "entropy_samples": 4,
    "entropy_period": 4,
}


def small_options(method: str) -> Any:
    """Make the method's options, of small sizes."""
    options = METHODS[method].options
    taken = {name: value for name, value in SMALL.items() if hasattr(options, name)}
    return replace(options, **taken)
