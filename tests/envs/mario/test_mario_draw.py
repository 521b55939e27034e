"""Pictures of levels."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from envs.mario import draw
from envs.mario.tiles import ALPHABET, EMPTY, PLATFORM, to_characters


def level(width: int = 32) -> np.ndarray:
    tiles = np.full((16, width), EMPTY, np.uint8)
    tiles[14:] = ALPHABET.index("X")
    tiles[6, 4:9] = PLATFORM
    tiles[10, 12] = ALPHABET.index("Q")
    return tiles


def tile_of(picture: Image.Image, row: int, column: int) -> np.ndarray:
    size = draw.PIXELS
    left, top = column * size, row * size
    return np.asarray(picture.crop((left, top, left + size, top + size)))


def test_every_tile_looks_unlike_every_other_one():
    tiles = np.full((16, 21), EMPTY, np.uint8)
    tiles[5] = np.arange(21)
    picture = draw.draw_level(tiles)
    seen = [tile_of(picture, 5, i) for i in range(21)]
    assert len({image.tobytes() for image in seen}) == 21


def test_tile_ids_and_their_characters_give_the_same_picture():
    ids = level(16)
    written = np.asarray(to_characters(ids))
    assert draw.draw_level(ids).tobytes() == draw.draw_level(written).tobytes()
    assert (written == ord("|")).any()  # a stalk is in it


@pytest.mark.parametrize("pixels", [8, 16])
def test_a_level_is_as_large_as_its_tiles(pixels):
    assert draw.draw_level(level(40), pixels).size == (40 * pixels, 16 * pixels)


def test_a_sheet_has_a_place_for_every_level(tmp_path):
    draw.sheet([level(16)] * 5, tmp_path / "sheet.png", columns=2, pixels=8)
    picture = Image.open(tmp_path / "sheet.png")
    step = 16 * 8 + draw.MARGIN
    assert picture.size == (2 * step + draw.MARGIN, 3 * step + draw.MARGIN)
    last = picture.getpixel((draw.MARGIN + 4, 2 * step + draw.MARGIN + 4))
    empty = picture.getpixel((step + draw.MARGIN + 4, 2 * step + draw.MARGIN + 4))
    assert last != empty == (255, 255, 255)


def test_continuations_share_a_pale_past_and_differ_after_it(tmp_path):
    past, other = level(16), level(16)
    other[13, 3] = ALPHABET.index("g")
    draw.continuations(past, [level(16), other], tmp_path / "ways.png", pixels=8)
    picture = np.asarray(Image.open(tmp_path / "ways.png"))
    step, edge = 16 * 8 + draw.MARGIN, draw.MARGIN + 16 * 8
    first, second = picture[draw.MARGIN :][:128], picture[draw.MARGIN + step :][:128]
    np.testing.assert_array_equal(first[:, :edge], second[:, :edge])
    assert (first[:, edge:] != second[:, edge:]).any()
    assert first[0, draw.MARGIN].sum() > first[0, edge + 8].sum()


def test_a_growing_level_ends_as_the_whole_level(tmp_path):
    draw.grow_gif(level(24), tmp_path / "grow.gif", pixels=8)
    frames = [
        frame.convert("RGB") for frame in ImageSequence.Iterator(Image.open(tmp_path / "grow.gif"))
    ]
    assert len(frames) == 12
    assert frames[0].size == (24 * 8, 128)
    assert frames[0].getpixel((20 * 8, 127)) == (255, 255, 255)  # nothing there yet
    whole = np.asarray(draw.draw_level(level(24), 8), int)
    assert np.abs(np.asarray(frames[-1], int) - whole).mean() < 8  # of 255: few colours in a GIF


@pytest.mark.parametrize("shape", [(15, 16), (16, 0), (16,), (1, 16, 16)])
def test_a_level_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"level has shape .*; give \[16, columns\]"):
        draw.draw_level(np.zeros(shape, np.uint8))


def test_what_is_no_tile_is_refused_by_its_place():
    characters = np.full((16, 16), ord("-"), np.uint8)
    characters[3, 5] = ord("?")
    with pytest.raises(ValueError, match=r"level\[3, 5\]=63 is neither"):
        draw.draw_level(characters)


def test_an_empty_sheet_is_refused(tmp_path):
    with pytest.raises(ValueError, match="levels is empty"):
        draw.sheet([], tmp_path / "sheet.png")
