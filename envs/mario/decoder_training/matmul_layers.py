"""The decoder in training, written as matrix products: on a CPU, XLA is slow at the gradients of
transposed convolutions. It has no attention, and batch norm uses the batch's own moments."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from envs.mario.decoder.network import BATCH_NORM_EPS

Moments = dict[str, dict[str, jax.Array]]


def forward(params: Any, latents: jax.Array) -> tuple[jax.Array, Moments]:
    """Compute what `Decoder(attention=(False, False, False))` does with train=True.

    params: of that decoder; latents: [B, 20]. -> logits [B, 16, 16, 21], and the moments of its
    batch norms, in the form of the collection `batch_stats`.
    """
    first = params["deconv1"]
    x = jnp.einsum("bc,uvco->buvo", latents, first["kernel"][::-1, ::-1]) + first["bias"]
    moments = {}
    for i in (1, 2, 3):
        x = _upsample(params[f"deconv{i}"], x) if i > 1 else x
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        norm = params[f"bn{i}"]
        scale = norm["scale"] * jax.lax.rsqrt(var + BATCH_NORM_EPS)
        x = nn.relu((x - mean) * scale + norm["bias"])
        moments[f"bn{i}"] = {"mean": mean, "var": var}
    return _convolve(params["deconv4"], x), moments


def _upsample(layer: Any, x: jax.Array) -> jax.Array:
    """Convolve transposed, with kernels of 4x4 and stride 2: [B, H, W, C] -> [B, 2H, 2W, O]."""
    batch, height, width, channels = x.shape
    kernel = layer["kernel"][::-1, ::-1]
    y = x @ kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
    y = y.reshape(batch, height, width, 4, -1).transpose(0, 1, 3, 2, 4)
    y = _lay_out(y.reshape(batch, height, 4, -1))
    y = y.reshape(batch * 2 * height, width, 4, -1)
    return _lay_out(y).reshape(batch, 2 * height, 2 * width, -1) + layer["bias"]


def _lay_out(pieces: jax.Array) -> jax.Array:
    """Lay pieces of four 2 apart, and add where they overlap: [B, N, 4, C] -> [B, 2N, C].

    Of the pieces a and b, less the first and the last of all:  a1  a2+b0  a3+b1  b2
    """
    batch, count, _, channels = pieces.shape
    early, late = (
        pieces[:, :, part].reshape(batch, 2 * count, channels)
        for part in (slice(0, 2), slice(2, 4))
    )
    shifted_left = jnp.pad(early[:, 1:], ((0, 0), (0, 1), (0, 0)))
    shifted_right = jnp.pad(late[:, :-1], ((0, 0), (1, 0), (0, 0)))
    return shifted_left + shifted_right


def _convolve(layer: Any, x: jax.Array) -> jax.Array:
    """Convolve with kernels of 3x3, as one product with each place's neighbours."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    near = [padded[:, u : u + height, v : v + width] for u in range(3) for v in range(3)]
    kernel = layer["kernel"]
    return jnp.concatenate(near, -1) @ kernel.reshape(-1, kernel.shape[-1]) + layer["bias"]


def patches(image: jax.Array) -> jax.Array:
    """Cut patches of 4x4, 2 apart, with a border of zeros: [B, H, W, C] -> [B, H/2, W/2, 16 C]."""
    batch, height, width, channels = image.shape
    rows, columns = height // 2 + 1, width // 2 + 1
    x = jnp.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = x.reshape(batch, rows, 2, columns, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(batch, rows, columns, 4 * channels)
    corners = [x[:, :-1, :-1], x[:, :-1, 1:], x[:, 1:, :-1], x[:, 1:, 1:]]
    return jnp.concatenate(corners, axis=-1)
