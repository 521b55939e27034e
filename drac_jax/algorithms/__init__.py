"""Learning algorithms, each a value of pure functions (`drac_jax.types.Algorithm`)."""

from drac_jax.algorithms.drac import DracHParams, make_drac

__all__ = ["DracHParams", "make_drac"]
