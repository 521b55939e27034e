"""Learning algorithms, each a value of pure functions (`drac_jax.types.Algorithm`)."""

from drac_jax.algorithms.dacer import DacerHParams, make_dacer
from drac_jax.algorithms.drac import DracHParams, make_drac
from drac_jax.algorithms.sac import SacHParams, make_sac

__all__ = ["DacerHParams", "DracHParams", "SacHParams", "make_dacer", "make_drac", "make_sac"]
