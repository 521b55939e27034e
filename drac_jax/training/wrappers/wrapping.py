"""The one place where a training config decides what an algorithm is wrapped in."""

from drac_jax.training.schedule import TrainConfig
from drac_jax.training.wrappers.normalization import with_normalized_obs
from drac_jax.types import Algorithm


def wrapped(algorithm: Algorithm, config: TrainConfig) -> Algorithm:
    """Wrap an algorithm in what the config asks for; where that is nothing, it stays itself."""
    if config.normalize_obs:
        algorithm = with_normalized_obs(algorithm)
    return algorithm
