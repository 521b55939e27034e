"""The methods by name, and their options."""

from drac_jax.algorithms.registry.methods import (
    METHODS,
    Method,
    make_amortized,
    make_diversity,
)
from drac_jax.algorithms.registry.options import (
    DacerOptions,
    DiffusionOptions,
    DiversityOptions,
    DracOptions,
    S2acOptions,
    SdacOptions,
)

__all__ = [
    "METHODS",
    "DacerOptions",
    "DiffusionOptions",
    "DiversityOptions",
    "DracOptions",
    "Method",
    "S2acOptions",
    "SdacOptions",
    "make_amortized",
    "make_diversity",
]
