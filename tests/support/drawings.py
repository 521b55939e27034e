"""Readers of what `make render` draws."""

import base64
import json
import re
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def scene_of(page: str) -> dict:
    """Unpack what a page gives to Brax's viewer."""
    packed = re.search(r'var system = "(.*?)"', page)[1]
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def frames_of(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """Read the frames [H, W, 3] of a GIF and how many ms each lasts."""
    frames, lasting = [], []
    with Image.open(path) as gif:
        for number in range(gif.n_frames):
            gif.seek(number)
            frames.append(np.asarray(gif.convert("RGB")))
            lasting.append(gif.info["duration"])
    return frames, lasting
