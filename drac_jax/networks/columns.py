"""Networks that see only some columns of the observations: the actor's view, and the critics'."""

from typing import Any, NamedTuple

import jax
from flax import linen as nn

from drac_jax.types import Params

Columns = tuple[int, int] | None  # of obs, from the first to before the last; None: all


class Seeing(NamedTuple):
    """A network whose first input, the observation, is cut to its columns."""

    network: nn.Module
    columns: tuple[int, int]

    def init(self, key: jax.Array, obs: jax.Array, *parts: jax.Array) -> Params:
        """Draw parameters. obs: [O], all columns."""
        return self.network.init(key, cut(obs, self.columns), *parts)

    def apply(self, params: Params, obs: jax.Array, *parts: jax.Array) -> Any:
        """Evaluate. obs: [..., O], all columns."""
        return self.network.apply(params, cut(obs, self.columns), *parts)


def cut(obs: jax.Array, columns: Columns) -> jax.Array:
    """Take the columns of obs: [..., O]. Raises ValueError for columns that it has not."""
    return obs if columns is None else obs[..., slice(*_within(columns, obs.shape[-1]))]


def width(obs_size: int, columns: Columns) -> int:
    """Count the columns. Raises ValueError as `cut`."""
    first, end = _within(columns, obs_size) if columns else (0, obs_size)
    return end - first


def seeing(network: nn.Module, columns: Columns) -> nn.Module | Seeing:
    """Let a network of (obs, ...) see some columns of obs; with None it stays itself."""
    return network if columns is None else Seeing(network, columns)


def actor_seeing(actor: Any, columns: Columns) -> Any:
    """Let an actor see some columns of obs; with None it stays itself.

    actor: a NamedTuple that has init (key, obs_size) and apply (params, obs, ...) as fields, or
    that has a network of obs.
    """
    if columns is None:
        return actor
    if hasattr(actor, "network"):
        return actor._replace(network=seeing(actor.network, columns))
    return actor._replace(
        init=lambda key, obs_size: actor.init(key, width(obs_size, columns)),
        apply=lambda params, obs, *latent: actor.apply(params, cut(obs, columns), *latent),
    )


def _within(columns: tuple[int, int], obs_size: int) -> tuple[int, int]:
    first, end = columns
    if not 0 <= first < end <= obs_size:
        raise ValueError(
            f"actor_obs or critic_obs={(first, end)} must be columns of obs [{obs_size}]; use "
            f"(first, end) with 0 <= first < end <= {obs_size}"
        )
    return columns
