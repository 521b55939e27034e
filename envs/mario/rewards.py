"""Rewards of a new segment given those before it: the styles MultiFacet and MarioPuzzle.

A style keeps the patterns of the segments before, counted once, so that a step counts those of the
new segment alone. Everything here is of one environment; `vmap` makes it many.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.mario import patterns
from envs.mario.patterns import Lot
from envs.mario.tiles import SEGMENT, join

HISTORY = 5  # segments that an observation and a reward look back on
UNPLAYABLE = -1.0  # added to the reward of a segment that breaks the gap rule
TARGET = 0.14  # Jensen-Shannon divergence that MultiFacet wants, bits
FRESHNESS = 1.0 - np.arange(HISTORY, dtype=np.float32) / (HISTORY + 1)  # newest segment first
SHIFT, NUM_WINDOWS, NEAREST = 8, 8, 3  # of MarioPuzzle, in columns and windows
LOWEST, HIGHEST = 0.26, 0.94  # mean divergence that MarioPuzzle leaves unpunished, bits
PENALTY_WEIGHT = 10.0


class Style(NamedTuple):
    """A reward as two functions of characters, uint8.

    begin: (segments [5, 16, 16], oldest first) -> memory, a pytree of arrays.
    judge: (memory, previous segment [16, 16], new segment [16, 16]) -> (scalar, memory).
    """

    begin: Callable[[jax.Array], Any]
    judge: Callable[[Any, jax.Array, jax.Array], tuple[jax.Array, Any]]


def make_style(reward: str, reference_keys: bool = False) -> Style:
    """Make a style by name: `multifacet` or `puzzle`.

    reference_keys: of `puzzle` alone, see `window_divergences`. Raises ValueError for another name.
    """
    if reward == "multifacet":
        return Style(_begin_multifacet, _judge_multifacet)
    if reward == "puzzle":
        return Style(_begin_puzzle, partial(_judge_puzzle, reference_keys))
    raise ValueError(f"reward={reward!r} is unknown; use 'multifacet' or 'puzzle'")


def multifacet(divergences: jax.Array) -> jax.Array:
    """Reward a new segment for being neither a copy of the last ones nor unlike them.

    divergences: [..., 5], Jensen-Shannon, bits, to the last segment, the one before and so on.
    -> [...]: the mean of min(r_i, 1 - |JS_i - 0.14| / 0.14) with r_i = 1 - i / 6, in units of
    the sum of r_i.
    """
    closeness = 1.0 - jnp.abs(divergences - TARGET) / TARGET
    return jnp.minimum(FRESHNESS, closeness).sum(axis=-1) / FRESHNESS.sum()


def puzzle(divergences: jax.Array) -> jax.Array:
    """Reward a new segment for being new, and punish where it is too much or too little so.

    divergences: [..., 8], symmetrised Kullback-Leibler, bits, to the windows of the history.
    -> [...]: the mean of the 3 smallest less 10 times the penalty.
    """
    novelty = jnp.sort(divergences, axis=-1)[..., :NEAREST].mean(axis=-1)
    return novelty - PENALTY_WEIGHT * penalty(divergences.mean(axis=-1))


def penalty(mean: jax.Array) -> jax.Array:
    """Square the distance of a mean divergence to [0.26, 0.94]; above 1 it grows as ln(p) + 1."""
    square = jnp.square(mean - jnp.clip(mean, LOWEST, HIGHEST))
    return jnp.where(square > 1.0, jnp.log(jnp.maximum(square, 1.0)) + 1.0, square)


def segment_divergences(new: Lot, lots: Lot) -> jax.Array:
    """Measure the Jensen-Shannon divergence of a lot [256] to each of [S, 256]. -> [S], bits."""
    return jax.vmap(lambda lot: patterns.jensen_shannon(new, patterns.counts_in(lot, new.codes)))(
        lots
    )


def window_divergences(
    new: Lot, lots: Lot, weights: jax.Array, reference_keys: bool = False
) -> jax.Array:
    """Measure the symmetrised divergence of a lot [256] to each window [W, 256]. -> [W], bits.

    weights: [W], `patterns.weight` of the windows. The patterns that are smoothed are those of the
    segment and the window. reference_keys: those of the windows before as well, which is what the
    implementation that the published numbers come from does (its table of the segment's patterns
    takes in the keys of every window that it was compared with).
    """
    shared = jax.vmap(lambda lot: patterns.counts_in(lot, new.codes))(lots)
    if reference_keys:
        num_keys = patterns.growing_union_sizes(new, lots)
    else:
        num_keys = jax.vmap(partial(patterns.union_size, new))(lots, shared)
    measure = partial(patterns.kullback_leibler, new)
    return jax.vmap(measure)(shared, weights, num_keys)


class Windows(NamedTuple):
    """The windows of MarioPuzzle, newest first: at shifts of 0, 8, .. 56 columns.

    lots: [8, 256]; weights: [8], of each lot.
    """

    lots: Lot
    weights: jax.Array


def _begin_multifacet(segments: jax.Array) -> Lot:
    return patterns.count(segments[::-1])


def _judge_multifacet(memory: Lot, previous: jax.Array, new: jax.Array) -> tuple[jax.Array, Lot]:
    lot = patterns.count(new)
    value = multifacet(segment_divergences(lot, memory))
    return value, _push(jax.tree.map(lambda x: x[None], lot), memory)


def _begin_puzzle(segments: jax.Array) -> Windows:
    level = join(segments)
    starts = [level.shape[-1] - SEGMENT - SHIFT * i for i in range(NUM_WINDOWS)]
    return _windows(jnp.stack([level[:, start : start + SEGMENT] for start in starts]))


def _judge_puzzle(
    reference_keys: bool, memory: Windows, previous: jax.Array, new: jax.Array
) -> tuple[jax.Array, Windows]:
    # A window at a shift of 8 lies half in one segment and half in the next; both new windows are
    # the next step's first, and the others move by one segment, that is two windows.
    between = jnp.concatenate([previous[:, SHIFT:], new[:, :SHIFT]], axis=-1)
    newest = _windows(jnp.stack([new, between]))
    lot = jax.tree.map(lambda x: x[0], newest.lots)
    divergences = window_divergences(lot, memory.lots, memory.weights, reference_keys)
    return puzzle(divergences), _push(newest, memory)


def _windows(characters: jax.Array) -> Windows:
    lots = patterns.count(characters)
    return Windows(lots, patterns.weight(lots))


def _push(newest: Any, memory: Any) -> Any:
    """Put the newest in front; as many of the oldest fall out at the end."""
    return jax.tree.map(
        lambda new, old: jnp.concatenate([new, old[: len(old) - len(new)]]), newest, memory
    )
