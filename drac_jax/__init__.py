"""DrAC in JAX: diversity-regularised actor-critic, from environment to sweep in one program."""

from typing import Any

from drac_jax.actors import amortized
from drac_jax.algorithms import DracHParams, make_drac
from drac_jax.diversity import all_pairs, paired
from drac_jax.train import TrainConfig, make_train

__all__ = [
    "DracHParams",
    "TrainConfig",
    "all_pairs",
    "amortized",
    "load_policy",
    "make_drac",
    "make_train",
    "paired",
]


def load_policy(path: Any, member: int = 0) -> Any:
    """Load a trained policy, (obs, key) -> action: see `drac_jax.saved.load_policy`."""
    from drac_jax.saved import load_policy as load  # Orbax takes two seconds to import

    return load(path, member)
