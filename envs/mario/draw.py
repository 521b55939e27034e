"""Levels as pictures: tiles drawn by our own rules, sheets, continuations, a growing level."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from envs.mario.tiles import ALPHABET, BLOCK, EMPTY, SEGMENT, STALK, to_characters

PIXELS = 16  # of a tile's side
MARGIN = 12  # pixels between the levels of a sheet
FRAME_MS = 90  # of a GIF
SKY, PAPER, INK = "#a9d8f5", "#ffffff", "#22313f"
GROUND, GRASS, STONE, BRICK, MORTAR = "#8a5a34", "#4aa84f", "#8d99a6", "#c8643c", "#7c3418"
GOLD, DARK_GOLD, GREEN, DARK_GREEN, LEAF = "#f5b921", "#9a6a00", "#2f9e57", "#1b6a38", "#7cc65a"
RED, DARK, SKIN, WOOD, DARK_WOOD = "#d8383f", "#30343f", "#f4d6a4", "#b98a55", "#8f6436"


def draw_level(level: np.ndarray, pixels: int = PIXELS) -> Image.Image:
    """Draw tile ids, or characters (uint8 ASCII) as `to_characters` writes them.

    level: [16, W]; pixels: the side of a tile, from 4 on. -> an image of 16 by W tiles.
    Raises ValueError for another shape and for values that are no tile.
    """
    characters = _characters(np.asarray(level))
    picture = Image.new("RGB", (PIXELS * level.shape[1], PIXELS * SEGMENT), SKY)
    above = np.roll(characters, 1, axis=0) == ord("X")
    below = np.roll(characters, -1, axis=0) == ord(STALK)
    for row, column in np.argwhere(characters != ord("-")):
        joined = bool(above[row, column] or below[row, column])
        tile = _tile(chr(characters[row, column]), joined)
        picture.paste(tile, (column * PIXELS, row * PIXELS), tile)
    if pixels == PIXELS:
        return picture
    size = (pixels * level.shape[1], pixels * SEGMENT)
    return picture.resize(size, Image.Resampling.LANCZOS)


def sheet(
    levels: Sequence[np.ndarray], path: str | Path, columns: int = 1, pixels: int = 8
) -> None:
    """Draw levels below and beside each other. levels: [16, W] each; columns: levels in a row."""
    pictures = [draw_level(level, pixels) for level in levels]
    _grid(pictures, columns).save(path)


def continuations(
    prefix: np.ndarray, futures: Sequence[np.ndarray], path: str | Path, pixels: int = 8
) -> None:
    """Draw several ways on from one state, one below the other: the shared past is pale.

    prefix: [16, P]; futures: [16, F] each, what was generated after it.
    """
    pictures = []
    edge = prefix.shape[1] * pixels
    for future in futures:
        picture = draw_level(np.concatenate([prefix, future], axis=1), pixels)
        past = picture.crop((0, 0, edge, picture.height))
        picture.paste(Image.blend(past, Image.new("RGB", past.size, PAPER), 0.45), (0, 0))
        pen = ImageDraw.Draw(picture)
        pen.line((edge, 0, edge, picture.height), fill=INK, width=max(2, pixels // 3))
        pictures.append(picture)
    _grid(pictures, 1).save(path)


def grow_gif(level: np.ndarray, path: str | Path, pixels: int = 8, view: int = 48) -> None:
    """Draw a level that grows to the right, two columns a frame; the last `view` are in sight.

    level: [16, W].
    """
    whole = draw_level(level, pixels)
    width = min(view, level.shape[1]) * pixels
    frames = []
    for end in range(2, level.shape[1] + 1, 2):
        edge = end * pixels
        left = max(edge - width, 0)
        frame = Image.new("RGB", (width, whole.height), PAPER)
        frame.paste(whole.crop((left, 0, edge, whole.height)), (0, 0))
        frames.append(frame.quantize(64, dither=Image.Dither.NONE))
    durations = [FRAME_MS] * (len(frames) - 1) + [1500]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _grid(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    """Put pictures of one height on paper, row by row."""
    if not pictures:
        raise ValueError("levels is empty; give at least one to draw")
    width, height = max(picture.width for picture in pictures), pictures[0].height
    rows = -(-len(pictures) // columns)
    across, down = width + MARGIN, height + MARGIN
    paper = Image.new("RGB", (columns * across + MARGIN, rows * down + MARGIN), PAPER)
    for i, picture in enumerate(pictures):
        paper.paste(picture, (MARGIN + i % columns * across, MARGIN + i // columns * down))
    return paper


def _characters(level: np.ndarray) -> np.ndarray:
    if level.ndim != 2 or level.shape[0] != SEGMENT or level.shape[1] == 0:
        raise ValueError(f"level has shape {level.shape}; give [{SEGMENT}, columns]")
    if level.max() < len(ALPHABET):
        return _write(level)
    known = np.frombuffer((ALPHABET + BLOCK + STALK).encode(), np.uint8)
    wrong = np.argwhere(~np.isin(level, known))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"level[{row}, {column}]={level[row, column]} is neither tile nor character"
        )
    return level


def _write(level: np.ndarray) -> np.ndarray:
    """Write tile ids as characters, segment by segment, as the environment does."""
    padded = np.pad(level, ((0, 0), (0, -level.shape[1] % SEGMENT)), constant_values=EMPTY)
    segments = np.stack(np.split(padded, padded.shape[1] // SEGMENT, axis=1))
    written = np.asarray(to_characters(jnp.asarray(segments, jnp.uint8)))
    return np.concatenate(list(written), axis=1)[:, : level.shape[1]]


@cache
def _tile(character: str, joined: bool) -> Image.Image:
    """Draw a tile four times as large, and make it small: smooth edges.

    joined: whether ground lies above it or a stalk begins below it."""
    scale = 4
    tile = Image.new("RGBA", (PIXELS * scale, PIXELS * scale))
    _paint(_Pen(ImageDraw.Draw(tile), scale), character, joined)
    return tile.resize((PIXELS, PIXELS), Image.Resampling.BOX)


class _Pen:
    """Draws in units of a tile's sixteenths, both ends of a box included in it."""

    def __init__(self, pen: ImageDraw.ImageDraw, scale: int):
        self._pen, self._scale = pen, scale

    def box(self, x: float, y: float, right: float, bottom: float, fill: str, radius: float = 0.0):
        s = self._scale
        box = (x * s, y * s, right * s - 1, bottom * s - 1)
        self._pen.rounded_rectangle(box, radius * s, fill=fill)

    def disc(self, x: float, y: float, right: float, bottom: float, fill: str):
        s = self._scale
        self._pen.ellipse((x * s, y * s, right * s - 1, bottom * s - 1), fill=fill)

    def shape(self, *corners: tuple[float, float], fill: str):
        self._pen.polygon([(x * self._scale, y * self._scale) for x, y in corners], fill=fill)


def _paint(pen: _Pen, character: str, joined: bool) -> None:
    if character == "X":
        _ground(pen, joined)
    elif character == BLOCK:
        _stone(pen)
    elif character in "%" + STALK:
        _tree(pen, character, joined)
    elif character in "SU":
        _brick(pen, character)
    elif character in "Q@L12":
        _question(pen, character)
    elif character in "tT":
        _pipe(pen, character)
    elif character in "bB":
        _cannon(pen, character)
    elif character == "o":
        _coin(pen)
    else:
        _enemy(pen, character)


def _ground(pen: _Pen, below: bool) -> None:
    pen.box(0, 0, 16, 16, GROUND)
    for x, y in ((3, 8), (10, 5), (12, 12), (5, 13)):
        pen.box(x, y, x + 2, y + 1, "#6d4526")
    if not below:
        pen.box(0, 0, 16, 4, GRASS)
        for x in (0, 4, 8, 12):
            pen.shape((x, 4), (x + 4, 4), (x + 2, 6.5), fill=GRASS)


def _stone(pen: _Pen) -> None:
    pen.box(0, 0, 16, 16, "#5f6b78")
    pen.shape((0, 0), (16, 0), (13, 3), (3, 3), fill="#c3ccd4")
    pen.shape((0, 0), (3, 3), (3, 13), (0, 16), fill="#aab4be")
    pen.box(3, 3, 13, 13, STONE)


def _tree(pen: _Pen, character: str, joined: bool) -> None:
    if character == STALK or joined:
        pen.box(6, 0, 10, 16, WOOD)
        pen.box(6, 0, 7, 16, DARK_WOOD)
    if character == "%":
        pen.box(0, 1, 16, 8, LEAF, 2)
        pen.box(0, 1, 16, 4, "#a9e07f", 1.5)
        pen.box(0, 7, 16, 9, "#4d8f38")


def _brick(pen: _Pen, character: str) -> None:
    pen.box(0, 0, 16, 16, MORTAR)
    for row, y in enumerate((0, 4, 8, 12)):
        for x in (-4, 4, 12) if row % 2 else (0, 8):
            pen.box(max(x, 0), y, min(x + 7, 16), y + 3, BRICK)
    if character == "U":  # something is in it
        pen.disc(5, 5, 11, 11, RED)
        pen.disc(6.5, 6.5, 9.5, 9.5, PAPER)


def _question(pen: _Pen, character: str) -> None:
    if character in "12":  # hidden: its outline alone
        for x, y, right, bottom in ((1, 1, 15, 2), (1, 14, 15, 15), (1, 1, 2, 15), (14, 1, 15, 15)):
            pen.box(x, y, right, bottom, GOLD if character == "2" else GREEN)
        return
    pen.box(0, 0, 16, 16, DARK_GOLD, 1)
    pen.box(1, 1, 15, 15, GREEN if character == "L" else GOLD, 1)
    if character == "Q":
        for x, y, right, bottom in ((5, 3, 11, 5), (9, 3, 11, 8), (7, 7, 9, 10), (7, 11, 9, 13)):
            pen.box(x, y, right, bottom, DARK_GOLD)
        pen.box(5, 3, 7, 6, DARK_GOLD)
    else:
        pen.disc(4, 3, 12, 11, RED if character == "@" else PAPER)
        pen.box(4, 7, 12, 11, GOLD if character == "@" else GREEN)
        pen.box(6, 8, 10, 13, SKIN)


def _pipe(pen: _Pen, character: str) -> None:
    pen.box(0, 0, 16, 16, GREEN)
    pen.box(2, 0, 5, 16, "#7fd89a")
    pen.box(13, 0, 16, 16, DARK_GREEN)
    if character == "T":  # a flower lives in it
        pen.disc(6, 5, 11, 10, RED)
        pen.disc(7.5, 6.5, 9.5, 8.5, PAPER)


def _cannon(pen: _Pen, character: str) -> None:
    pen.box(2, 0, 14, 16, DARK)
    pen.box(4, 0, 6, 16, "#666d7d")
    if character == "B":
        pen.box(0, 0, 16, 10, DARK, 2)
        pen.disc(4, 2, 12, 9, PAPER)
        pen.disc(6, 3.5, 10, 7.5, DARK)


def _coin(pen: _Pen) -> None:
    pen.disc(3, 1, 13, 15, DARK_GOLD)
    pen.disc(4, 2, 12, 14, GOLD)
    pen.box(7, 5, 9, 11, DARK_GOLD)


def _enemy(pen: _Pen, character: str) -> None:
    colour = {"g": "#8a4b2a", "k": GREEN, "K": GREEN, "r": RED, "R": RED, "y": "#7c4bc0"}[character]
    if character == "g":
        pen.shape((8, 1), (15, 9), (14, 12), (2, 12), (1, 9), fill=colour)
        pen.box(4, 11, 12, 14, SKIN, 1)
    elif character == "y":
        for x in (1, 5, 9):
            pen.shape((x, 9), (x + 5, 9), (x + 2.5, 1), fill="#e8e2f5")
        pen.disc(1, 5, 15, 15, colour)
    else:
        pen.disc(8, 1, 15, 8, SKIN)
        pen.disc(1, 4, 13, 14, colour)
        pen.box(3, 11, 11, 14, SKIN, 1)
    if character in "KR":
        pen.shape((0, 1), (7, 3), (5, 9), fill=PAPER)
    eye = 9 if character in "gy" else 11
    pen.disc(eye, 4 if eye == 11 else 7, eye + 3, 7 if eye == 11 else 10, PAPER)
    pen.disc(eye + 1.5, 5 if eye == 11 else 8, eye + 3, 6.5 if eye == 11 else 9.5, INK)
    pen.box(2, 14, 6, 16, INK)
    pen.box(9, 14, 13, 16, INK)
