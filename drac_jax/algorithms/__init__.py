"""Learning algorithms, each a value of pure functions (`drac_jax.types.Algorithm`)."""

from drac_jax.algorithms.drac import DracHParams, make_drac
from drac_jax.algorithms.sac import SacHParams, make_sac

__all__ = ["DracHParams", "SacHParams", "make_drac", "make_sac"]
