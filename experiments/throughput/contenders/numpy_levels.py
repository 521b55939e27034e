"""One MarioLevelGen environment written plainly: NumPy layers, and patterns in dictionaries."""

from collections import Counter
from math import log, log2
from typing import Any

import numpy as np

from envs.mario.rewards import FRESHNESS, HIGHEST, LOWEST, NEAREST, PENALTY_WEIGHT, TARGET
from envs.mario.tiles import ALPHABET, BLOCK, FLOOR_ROWS, MAX_GAP, SEGMENT, SOLID, STALK

EPS = 1e-3


class NumpyLevelGen:
    """A level with both rewards; one decoded segment in each step.

    variables: of `envs.mario.decoder`; latents: [5, 20], the first ones; reward: its style.
    """

    def __init__(self, variables: Any, latents: np.ndarray, reward: str) -> None:
        self.variables = variables
        self.latents = list(latents)
        self.segments = [characters(decode(variables, latent)) for latent in latents]
        self.judge = multifacet if reward == "multifacet" else puzzle

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float]:
        """Append a segment. -> (obs [100], reward)."""
        segment = characters(decode(self.variables, np.clip(action, -1.0, 1.0)))
        reward = self.judge(self.segments, segment)
        if not playable(np.hstack([self.segments[-1], segment])):
            reward -= 1.0
        self.segments = [*self.segments[1:], segment]
        self.latents = [*self.latents[1:], action]
        return np.concatenate(self.latents), reward


def decode(variables: Any, latent: np.ndarray) -> np.ndarray:
    """Decode a latent [20] -> [16, 16] tile ids."""
    params, stats = variables["params"], variables["batch_stats"]
    image = latent[None, None]
    for i in (1, 2, 3):
        stride, padding = (1, 0) if i == 1 else (2, 1)
        image = deconvolve(image, params[f"deconv{i}"], stride, padding)
        norm, moments = params[f"bn{i}"], stats[f"bn{i}"]
        image = (image - moments["mean"]) / np.sqrt(moments["var"] + 1e-5)
        image = np.maximum(image * norm["scale"] + norm["bias"], 0.0)
        if f"attention{i}" in params:
            image = attend(image, params[f"attention{i}"])
    return deconvolve(image, params["deconv4"], 1, 1).argmax(axis=-1)


def deconvolve(image: np.ndarray, layer: dict, stride: int, padding: int) -> np.ndarray:
    """Transpose a convolution: [H, W, C] -> [H', W', features]."""
    kernel = layer["kernel"][::-1, ::-1]
    rows, columns, _ = image.shape
    side, _, _, features = kernel.shape
    height, width = ((n - 1) * stride + side for n in (rows, columns))
    out = np.zeros((height, width, features), np.float32)
    for u in range(side):
        for v in range(side):
            last_row, last_column = u + rows * stride, v + columns * stride
            out[u:last_row:stride, v:last_column:stride] += image @ kernel[u, v]
    return out[padding : height - padding, padding : width - padding] + layer["bias"]


def attend(image: np.ndarray, layer: dict) -> np.ndarray:
    """Add self-attention over the places of an image [H, W, C]."""
    places = image.reshape(-1, image.shape[-1])
    query, key, value = (
        places @ layer[name]["kernel"] + layer[name]["bias"] for name in ("query", "key", "value")
    )
    scores = query @ key.T
    weight = np.exp(scores - scores.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return image + (layer["gamma"] * (weight @ value)).reshape(image.shape)


def characters(tiles: np.ndarray) -> np.ndarray:
    """Write tile ids [16, 16] as characters, with blocks above the floor and stalks."""
    grid = np.array([[ALPHABET[tile] for tile in row] for row in tiles])
    grid[:-FLOOR_ROWS][grid[:-FLOOR_ROWS] == "X"] = BLOCK
    for row in range(SEGMENT):
        column = 0
        while column < SEGMENT:
            end = column
            while end < SEGMENT and grid[row, end] == "%":
                end += 1
            run = range(column, end)
            for stem in run[1:-1] if len(run) > 2 else run:
                _grow_stalk(grid, row + 1, stem)
            column = end + 1
    return grid


def _grow_stalk(grid: np.ndarray, row: int, column: int) -> None:
    while row < SEGMENT and grid[row, column] not in SOLID + BLOCK:
        if grid[row, column] == "-":
            grid[row, column] = STALK
        row += 1


def playable(grid: np.ndarray) -> bool:
    """Apply the gap rule to characters [16, columns]."""
    gap = 0
    for column in grid[-FLOOR_ROWS:].T:
        gap = 0 if any(character in SOLID for character in column) else gap + 1
        if gap > MAX_GAP:
            return False
    return True


def patterns(grid: np.ndarray) -> Counter:
    """Count the 2 x 2 patterns of characters [16, columns]."""
    rows = ["".join(row) for row in grid]
    return Counter(
        upper[i : i + 2] + lower[i : i + 2]
        for upper, lower in zip(rows, rows[1:], strict=False)
        for i in range(len(upper) - 1)
    )


def multifacet(segments: list[np.ndarray], new: np.ndarray) -> float:
    """Compute the MultiFacet value of a segment after five others, oldest first."""
    counts = patterns(new)
    total = 0.0
    for share, segment in zip(FRESHNESS, reversed(segments), strict=True):
        divergence = jensen_shannon(counts, patterns(segment))
        total += min(share, 1.0 - abs(divergence - TARGET) / TARGET)
    return float(total / FRESHNESS.sum())


def puzzle(segments: list[np.ndarray], new: np.ndarray) -> float:
    """Compute the MarioPuzzle value of a segment after five others, oldest first."""
    level, counts = np.hstack(segments), patterns(new)
    ends = [level.shape[1] - shift for shift in range(0, 64, 8)]
    windows = [patterns(level[:, end - SEGMENT : end]) for end in ends]
    divergences = sorted(kullback_leibler(counts, window) for window in windows)
    mean = sum(divergences) / len(divergences)
    penalty = (mean - min(max(mean, LOWEST), HIGHEST)) ** 2
    penalty = log(penalty) + 1.0 if penalty > 1.0 else penalty
    return sum(divergences[:NEAREST]) / NEAREST - PENALTY_WEIGHT * penalty


def jensen_shannon(counts: Counter, others: Counter) -> float:
    """Measure a divergence of pattern counts, in bits."""
    total = 0.0
    for key in counts.keys() | others.keys():
        p, q = (c[key] / c.total() for c in (counts, others))
        total += p * log2(2 * p / (p + q)) if p else 0.0
        total += q * log2(2 * q / (p + q)) if q else 0.0
    return total / 2


def kullback_leibler(counts: Counter, others: Counter) -> float:
    """Measure the symmetrised divergence of pattern counts, in bits."""
    keys = counts.keys() | others.keys()
    scale = 1.0 + EPS * len(keys)
    total = 0.0
    for key in keys:
        p, q = ((c[key] / c.total() + EPS) / scale for c in (counts, others))
        total += p * log2(p / q) + q * log2(q / p)
    return total / 2
