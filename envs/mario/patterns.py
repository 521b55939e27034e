"""Pattern statistics of segments: counts of 2 x 2 windows, and divergences between them.

A pattern is a window of 2 x 2 characters; a segment has 15 x 15 = 225 windows. Both divergences
need only, for each pattern of one lot, its count in the other: a sum over the patterns that are in
the other lot alone is what the whole other lot sums to, less what the shared patterns do.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.mario.tiles import SEGMENT

WINDOWS = (SEGMENT - 1) ** 2
LOT = 256  # places of a lot: a power of two above 225, which a binary search of 8 steps needs
SEARCH_STEPS = tuple(2**i for i in reversed(range(8)))
SMOOTHING = 1e-3  # added to every frequency before the Kullback-Leibler divergence
_NO_PATTERN = np.int32(2**28 - 1)  # larger than every code: four times a character that is none


class Lot(NamedTuple):
    """The patterns of one window of 16 columns, as a sorted list of different codes.

    codes: [..., 256] int32, ascending, the rest filled with a number that is no code;
    counts: [..., 256] int32, 0 in the rest.
    """

    codes: jax.Array
    counts: jax.Array


def pattern_codes(characters: jax.Array) -> jax.Array:
    """Number the 2 x 2 windows. characters: [..., R, C] ASCII -> [..., R - 1, C - 1] int32.

    Four characters of 7 bits: different windows have different codes.
    """
    c = characters.astype(jnp.int32)
    top, bottom = c[..., :-1, :], c[..., 1:, :]
    column = (top << 7) | bottom
    return (column[..., :-1] << 14) | column[..., 1:]


def count(characters: jax.Array) -> Lot:
    """Count the patterns of segments [..., 16, 16] of characters."""
    codes = pattern_codes(characters)
    return tally(codes.reshape(*codes.shape[:-2], WINDOWS))


def tally(codes: jax.Array) -> Lot:
    """Count equal codes. codes: [..., N] int32, N at most 255 -> a lot."""
    size = codes.shape[-1]
    ordered = jnp.sort(codes, axis=-1)
    is_last = _pad(ordered[..., 1:] != ordered[..., :-1], 1, True)
    # Of a run only its last place keeps the code; a second sort brings those to the front.
    ends = jnp.sort(jnp.where(is_last, jnp.arange(size, dtype=jnp.int32), size), axis=-1)
    before = jnp.concatenate([jnp.full_like(ends[..., :1], -1), ends[..., :-1]], axis=-1)
    is_code = ends < size
    kept = _take(ordered, jnp.minimum(ends, size - 1))
    filled = jnp.where(is_code, kept, _NO_PATTERN), jnp.where(is_code, ends - before, 0)
    return Lot(_pad(filled[0], LOT - size, _NO_PATTERN), _pad(filled[1], LOT - size, 0))


def _pad(values: jax.Array, number: int, value: Any) -> jax.Array:
    return jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, number)], constant_values=value)


def _take(values: jax.Array, places: jax.Array) -> jax.Array:
    return jnp.take_along_axis(values, places, axis=-1, mode="promise_in_bounds")


def counts_in(lot: Lot, codes: jax.Array) -> jax.Array:
    """Look codes [..., M] up in a lot. -> [..., M] int32, 0 where a code is not in it.

    A binary search of all codes at once; a lot has a power of two places, so none leaves it.
    """
    place = jnp.zeros(codes.shape, jnp.int32)
    # `place` counts the codes that are known to be smaller; each step tries half as many more.
    for step in SEARCH_STEPS:
        tried = place + step
        place = jnp.where(_take(lot.codes, tried - 1) < codes, tried, place)
    # Codes that are none find each other: their count is 0.
    return jnp.where(_take(lot.codes, place) == codes, _take(lot.counts, place), 0)


def distinct(lot: Lot) -> jax.Array:
    """Count the different patterns of a lot. -> [...] int32."""
    return (lot.counts > 0).sum(axis=-1, dtype=jnp.int32)


def union_size(lot: Lot, other: Lot, shared: jax.Array) -> jax.Array:
    """Count the different patterns of two lots. shared: counts in `other` of the codes of `lot`."""
    both = (shared > 0).sum(axis=-1, dtype=jnp.int32)
    return distinct(lot) + distinct(other) - both


def growing_union_sizes(lot: Lot, others: Lot) -> jax.Array:
    """Count the different patterns of a lot with the first, the first two, .. of O others.

    lot: [256]; others: [O, 256], O at most 15. -> [O] int32.
    """
    codes = jnp.concatenate([lot.codes[None], others.codes]).astype(jnp.uint32)
    number = codes.shape[0]
    lot_index = jnp.arange(number, dtype=jnp.uint32)[:, None]
    # The first of equal codes comes from the first lot that has it.
    tagged = jnp.sort(((codes << 4) | lot_index).reshape(-1))
    code, index = tagged >> 4, tagged & 15
    is_first = jnp.concatenate([jnp.ones(1, bool), code[1:] != code[:-1]])
    is_new = is_first & (code != _NO_PATTERN)
    seen = is_new & (index <= jnp.arange(1, number, dtype=jnp.uint32)[:, None])
    return seen.sum(axis=-1, dtype=jnp.int32)


def jensen_shannon(lot: Lot, shared: jax.Array) -> jax.Array:
    """Measure the Jensen-Shannon divergence of two segments' patterns, in bits.

    lot: the patterns of one; shared: [..., 256], their counts in the other. -> [...] in [0, 1].
    """
    a, b = lot.counts.astype(jnp.float32), shared.astype(jnp.float32)
    # A pattern of the other alone adds b log2(2) = b; those sum to what is not shared.
    terms = _entropy_term(a, a + b) + _entropy_term(b, a + b) - b
    return jnp.maximum(terms.sum(axis=-1) / (2 * WINDOWS) + 0.5, 0.0)


def _entropy_term(count: jax.Array, total: jax.Array) -> jax.Array:
    """Compute n log2(2 n / total), 0 at n = 0."""
    ratio = 2.0 * count / jnp.maximum(total, 1.0)
    return count * jnp.log2(jnp.where(count > 0, ratio, 1.0))


def surplus(counts: jax.Array, others: jax.Array) -> jax.Array:
    """Compute (p - q) log2((p + eps) / (q + eps)) of frequencies p, q, from counts of 225."""
    p, q = counts.astype(jnp.float32) / WINDOWS, others.astype(jnp.float32) / WINDOWS
    return (p - q) * jnp.log2((p + SMOOTHING) / (q + SMOOTHING))


def weight(lot: Lot) -> jax.Array:
    """Sum the surplus of all patterns of a lot over none: what it adds where nothing is shared."""
    return surplus(lot.counts, jnp.zeros_like(lot.counts)).sum(axis=-1)


def kullback_leibler(
    lot: Lot, shared: jax.Array, other_weight: jax.Array, num_keys: jax.Array
) -> jax.Array:
    """Measure the symmetrised Kullback-Leibler divergence of two lots, in bits.

    shared: [..., 256], counts in the other of the codes of `lot`; other_weight: [...], `weight`
    of the other; num_keys: [...] int, patterns that get the smoothing 1e-3 (the union's size, or
    more: one that neither has only enters the normalisation). -> [...].
    """
    alone = surplus(jnp.zeros_like(shared), shared).sum(axis=-1)
    total = surplus(lot.counts, shared).sum(axis=-1) + other_weight - alone
    return 0.5 * total / (1.0 + num_keys.astype(jnp.float32) * SMOOTHING)
