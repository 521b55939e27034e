"""The decoder: a latent vector becomes a segment of tiles; its layers and its weights' file.

Layers: latent (20) -> 4x4x128 -> 8x8x64 -> attention -> 16x16x32 -> attention -> 16x16x21 logits,
by transposed convolutions with batch norm and ReLU between them. This is the shape of the decoder
of the online level generation that DrAC (arXiv 2511.01374) is tested on.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from envs.mario.tiles import LATENT_SIZE, NUM_TILES, SEGMENT

BATCH_NORM_EPS = 1e-5
HEAD_SHARE = 8  # channels for each channel of a query or a key


class Upsample(nn.Module):
    """`nn.ConvTranspose` of kernel 4 and stride 2, `SAME`: [B, H, W, C] -> [B, 2H, 2W, features].

    One product with the whole kernel, whose 4 x 4 patches are then added where they overlap: a
    dilated convolution takes longer on a CPU. Same parameters, same numbers.
    """

    features: int

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        rows, columns, channels = image.shape[1:]
        shape = (4, 4, channels, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        flipped = jnp.moveaxis(kernel[::-1, ::-1], 2, 0).reshape(channels, -1)
        # Row 2 a + b of the patch of place i is row 2 (i + a) + b of the image and its border.
        patches = (image.reshape(-1, channels) @ flipped).reshape(
            -1, rows, columns, 2, 2, 2, 2, self.features
        )
        summed = sum(
            jnp.pad(patches[:, :, :, a, :, c], _border((a, 1 - a), (c, 1 - c), 3))
            for a in (0, 1)
            for c in (0, 1)
        )
        whole = jnp.moveaxis(jnp.asarray(summed), 3, 2)
        whole = whole.reshape(-1, 2 * rows + 2, 2 * columns + 2, self.features)
        return whole[:, 1:-1, 1:-1] + bias


def _border(rows: tuple[int, int], columns: tuple[int, int], rest: int) -> list[tuple[int, int]]:
    return [(0, 0), rows, columns, *[(0, 0)] * rest]


class Attention(nn.Module):
    """Self-attention over the places of an image, added to it: [B, H, W, C] -> the same."""

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        channels = image.shape[-1]
        places = image.reshape(image.shape[0], -1, channels)
        query, key = (nn.Dense(channels // HEAD_SHARE, name=name)(places) for name in _HEADS)
        value = nn.Dense(channels, name="value")(places)
        gamma = self.param("gamma", nn.initializers.zeros, (1,))
        weight = nn.softmax(query @ key.mT)
        return image + (gamma * (weight @ value)).reshape(image.shape)


_HEADS = ("query", "key")


class Decoder(nn.Module):
    """Map latents [..., 20] to logits [..., 16, 16, 21].

    widths: channels after the first three layers; attention: whether each of them is followed by
    self-attention. train: whether batch norm uses the batch's own moments (and updates the
    running ones, collection `batch_stats`).
    """

    widths: tuple[int, int, int] = (128, 64, 32)
    attention: tuple[bool, bool, bool] = (False, True, True)

    @nn.compact
    def __call__(self, latents: jax.Array, train: bool = False) -> jax.Array:
        x = latents.reshape(-1, 1, 1, LATENT_SIZE)
        for i, (width, attends) in enumerate(zip(self.widths, self.attention, strict=True), 1):
            name = f"deconv{i}"
            if i == 1:
                x = nn.ConvTranspose(width, (4, 4), padding="VALID", name=name)(x)
            else:
                x = Upsample(width, name=name)(x)
            x = nn.BatchNorm(not train, epsilon=BATCH_NORM_EPS, name=f"bn{i}")(x)
            x = nn.relu(x)
            x = Attention(name=f"attention{i}")(x) if attends else x
        x = nn.ConvTranspose(NUM_TILES, (3, 3), padding="SAME", name="deconv4")(x)
        return x.reshape(*latents.shape[:-1], SEGMENT, SEGMENT, NUM_TILES)


def decode(variables: Any, latents: jax.Array) -> jax.Array:
    """Decode latents [..., 20] in [-1, 1] to the likeliest tiles. -> [..., 16, 16] uint8 ids."""
    logits = module_of(variables).apply(variables, latents)
    return jnp.argmax(logits, axis=-1).astype(jnp.uint8)


def module_of(variables: Any) -> Decoder:
    """Make the module that variables are for: their arrays tell its widths and attentions."""
    params = variables["params"]
    first, second, third = (params[f"deconv{i}"]["bias"].shape[0] for i in (1, 2, 3))
    attention = tuple(f"attention{i}" in params for i in (1, 2, 3))
    return Decoder((first, second, third), attention)


def save_weights(path: str | Path, variables: Any) -> None:
    """Write variables to an .npz file: `params/deconv1/kernel` and so on, float32."""
    flat = flatten_dict(jax.device_get(variables), sep="/")
    arrays: dict[str, Any] = {name: np.asarray(x, np.float32) for name, x in flat.items()}
    with Path(path).open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_weights(path: str | Path) -> dict[str, Any]:
    """Read variables that `save_weights` wrote.

    Raises ValueError naming the file and the array if one is missing or has another shape.
    """
    arrays = read_arrays(path)
    needed = {f"params/deconv{i}/bias": (f"width {i}",) for i in (1, 2, 3)}
    sizes = {name: np.shape(arrays[name]) if name in arrays else () for name in needed}
    for name, shape in sizes.items():
        if len(shape) != 1:
            raise ValueError(_complaint(path, name, arrays, needed[name]))
    variables = unflatten_dict(arrays, sep="/")
    expected = jax.eval_shape(module_of(variables).init, jax.random.key(0), np.zeros(LATENT_SIZE))
    shapes = {name: x.shape for name, x in flatten_dict(expected, sep="/").items()}
    check_shapes(path, arrays, shapes)
    return unflatten_dict({name: jnp.asarray(arrays[name]) for name in shapes}, sep="/")


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz file as float32. Raises ValueError if it is none."""
    try:
        with np.load(path) as file:
            return {name: np.asarray(file[name], np.float32) for name in file.files}
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"decoder weights {path} cannot be read as .npz: {error}") from error


def check_shapes(path: str | Path, arrays: dict, shapes: dict[str, tuple]) -> None:
    """Raise ValueError for the first array that is missing or has another shape."""
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            raise ValueError(_complaint(path, name, arrays, shape))


def _complaint(path: str | Path, name: str, arrays: dict, expected: tuple) -> str:
    found = f"has shape {arrays[name].shape}" if name in arrays else "is missing"
    return f"decoder weights {path}: {name} {found}; expected {expected}"
