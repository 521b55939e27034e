"""DrAC in JAX: diversity-regularised actor-critic, from environment to sweep in one program."""

from typing import Any

from drac_jax.actors import amortized, diffusion, flow, gaussian, stein_start
from drac_jax.algorithms import (
    DacerHParams,
    DracHParams,
    S2acHParams,
    SacHParams,
    SqlHParams,
    Td3HParams,
    make_dacer,
    make_drac,
    make_s2ac,
    make_sac,
    make_sql,
    make_td3,
)
from drac_jax.diversity.distance import all_pairs, paired
from drac_jax.training.loop import make_train
from drac_jax.training.schedule import TrainConfig

__all__ = [
    "DacerHParams",
    "DracHParams",
    "S2acHParams",
    "SacHParams",
    "SqlHParams",
    "Td3HParams",
    "TrainConfig",
    "all_pairs",
    "amortized",
    "diffusion",
    "flow",
    "gaussian",
    "load_policy",
    "make_dacer",
    "make_drac",
    "make_s2ac",
    "make_sac",
    "make_sql",
    "make_td3",
    "make_train",
    "paired",
    "stein_start",
]


def load_policy(path: Any, member: int = 0, best: bool = False) -> Any:
    """Load a trained policy, (obs, key) -> action: see `drac_jax.runs.saved_agent.load_policy`."""
    from drac_jax.runs.saved_agent import load_policy as load

    return load(path, member, best)
