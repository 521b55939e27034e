"""The tiles of a segment, and the characters that patterns, distances and pictures are made of."""

import jax
import jax.numpy as jnp
import numpy as np

SEGMENT = 16  # rows and columns of a segment; row 0 is the sky
LATENT_SIZE = 20
ALPHABET = "XS-%tTbBoQ@UL12gkrKRy"  # the character of each tile id
NUM_TILES = len(ALPHABET)
FLOOR_ROWS = 2  # at the bottom: tile 0 is ground there and a block above
BLOCK, STALK = "#", "|"  # characters that no tile id has
SOLID = "XS%tTQ@"  # tiles that one can stand on, and that end the stalk of a platform
MAX_GAP = 6  # columns in a row without a floor that can be jumped over

GROUND, EMPTY, PLATFORM = (ALPHABET.index(character) for character in "X-%")
_CHARACTERS = np.frombuffer(ALPHABET.encode(), np.uint8)
_IS_SOLID = np.array([character in SOLID for character in ALPHABET])


def to_characters(tiles: jax.Array) -> jax.Array:
    """Write tile ids as the characters that patterns are counted over.

    tiles: [..., 16, 16] ints in 0..20, row 0 on top. -> [..., 16, 16] uint8 ASCII. Tile 0 is `X`
    in the two rows of the floor and `#` above. Empties below the stem of a platform are its stalk
    `|` down to the next solid tile; what else is in its way stays.
    """
    characters = jnp.asarray(_CHARACTERS)[tiles]
    above_floor = np.arange(SEGMENT)[:, None] < SEGMENT - FLOOR_ROWS
    is_block = (tiles == GROUND) & above_floor
    is_stalk = (tiles == EMPTY) & _below_stem(tiles)
    characters = jnp.where(is_block, jnp.uint8(ord(BLOCK)), characters)
    return jnp.where(is_stalk, jnp.uint8(ord(STALK)), characters)


def _below_stem(tiles: jax.Array) -> jax.Array:
    """Tell where the nearest solid tile above in the column is a stem. -> [..., 16, 16] bool."""
    # The solid tile of row r is the number 2 r + 2, plus 1 if a stem: the largest one seen on the
    # way down is the nearest.
    number = 2 * np.arange(SEGMENT, dtype=np.int32)[:, None] + 2
    seen = jnp.where(jnp.asarray(_IS_SOLID)[tiles], number + _stems(tiles), 0)
    nearest = jax.lax.cummax(seen, axis=seen.ndim - 2)
    return _shift(nearest % 2 == 1, 1, axis=-2)


def _stems(tiles: jax.Array) -> jax.Array:
    """Tell the platform tiles that have a stalk: all but both ends of a run of three or more."""
    here = tiles == PLATFORM
    left, right = (_shift(here, by, axis=-1) for by in (1, -1))
    farther_left, farther_right = (_shift(here, by, axis=-1) for by in (2, -2))
    is_end = (~left & right & farther_right) | (left & farther_left & ~right)
    return here & ~is_end


def _shift(mask: jax.Array, by: int, axis: int) -> jax.Array:
    """Move a mask by some places along an axis; False comes in at the border."""
    moved = jnp.roll(mask, by, axis)
    place = np.arange(SEGMENT).reshape((SEGMENT,) + (1,) * (-1 - axis))
    came_in = place < by if by > 0 else place >= SEGMENT + by
    return moved & ~came_in


def is_playable(characters: jax.Array) -> jax.Array:
    """Apply the gap rule: fewer than 7 consecutive columns without a solid tile in the floor rows.

    characters: [..., 16, columns] uint8, one or more joined segments. -> [...] bool.
    """
    has_floor = _has_floor(characters)
    columns = has_floor.shape[-1]
    windows = [has_floor[..., i : columns - MAX_GAP + i] for i in range(MAX_GAP + 1)]
    return jnp.stack(windows).any(axis=0).all(axis=-1)


def gap_at_ends(characters: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Count the columns without a floor at the left and the right end. -> [...], [...] int32."""
    has_floor = _has_floor(characters)
    left, right = (
        (jax.lax.cummax(side.astype(jnp.int32), axis=side.ndim - 1) == 0).sum(axis=-1)
        for side in (has_floor, has_floor[..., ::-1])
    )
    return left.astype(jnp.int32), right.astype(jnp.int32)


def _has_floor(characters: jax.Array) -> jax.Array:
    """Tell the columns with a solid tile in the floor rows. -> [..., columns] bool."""
    floor = jnp.asarray(characters)[..., -FLOOR_ROWS:, :, None]
    solids = np.frombuffer(SOLID.encode(), np.uint8)
    return (floor == solids).any(axis=(-1, -3))


def join(segments: jax.Array) -> jax.Array:
    """Put segments side by side. segments: [..., N, 16, C] -> [..., 16, N * C], in order."""
    rows_first = jnp.moveaxis(segments, -3, -2)
    return rows_first.reshape(*rows_first.shape[:-2], -1)
