"""Diversity of levels: the number of tiles in which two of them differ."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.mario.tiles import join, to_characters

LOG_SLACK = 1e-3  # added to a distance before the logarithm: two equal levels have one


class Diversity(NamedTuple):
    """Distances of pairs of levels: arithmetic and geometric mean, in tiles that differ."""

    mean: float
    geometric_mean: float


def level_characters(tiles: jax.Array) -> jax.Array:
    """Write levels. tiles: [..., T, 16, 16] ids -> [..., 16, 16 T] uint8 characters."""
    return join(to_characters(tiles))


def hamming(levels: jax.Array, others: jax.Array) -> jax.Array:
    """Count the places where levels [..., 16, columns] differ. -> [...] int32."""
    return (levels != others).sum(axis=(-2, -1), dtype=jnp.int32)


def diversity_of_distances(distances: np.ndarray) -> Diversity:
    """Average distances [P]: their mean, and exp(mean(log(d + 1e-3)))."""
    d = np.asarray(distances, np.float64)
    return Diversity(float(d.mean()), float(np.exp(np.log(d + LOG_SLACK).mean())))


def level_diversity(tiles: jax.Array) -> Diversity:
    """Measure the diversity of levels in pairs: the first with the second, and so on.

    tiles: [N, T, 16, 16] ids, N even. In the paper N is 300, and T is 21: the last initial segment
    and 20 generated. Raises ValueError for an odd number.
    """
    if len(tiles) % 2 or not len(tiles):
        raise ValueError(f"{len(tiles)} levels cannot be paired; give an even number")
    levels = level_characters(jnp.asarray(tiles))
    return diversity_of_distances(np.asarray(hamming(levels[0::2], levels[1::2])))
