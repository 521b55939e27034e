"""Learning algorithms, each a value of pure functions (`drac_jax.types.Algorithm`)."""

from drac_jax.algorithms.dacer import DacerHParams, make_dacer
from drac_jax.algorithms.drac import DracHParams, make_drac
from drac_jax.algorithms.s2ac import S2acHParams, make_s2ac
from drac_jax.algorithms.sac import SacHParams, make_sac
from drac_jax.algorithms.sdac import SdacHParams, make_sdac
from drac_jax.algorithms.sql import SqlHParams, make_sql
from drac_jax.algorithms.td3 import Td3HParams, make_td3

__all__ = [
    "DacerHParams",
    "DracHParams",
    "S2acHParams",
    "SacHParams",
    "SdacHParams",
    "SqlHParams",
    "Td3HParams",
    "make_dacer",
    "make_drac",
    "make_s2ac",
    "make_sac",
    "make_sdac",
    "make_sql",
    "make_td3",
]
