"""Multilayer perceptrons with the initialisation of the reference, and ensembles of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

LONG_BATCH = 1024


def uniform_fan_in(fan_in: int):
    """Make PyTorch's default for linear layers: uniform in +-1/sqrt(fan_in), biases as well."""
    bound = fan_in**-0.5

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class PartsDense(nn.Module):
    """A linear layer of the concatenation of its inputs, without building the concatenation.

    parts: each [..., I_i]; leading axes broadcast. -> [..., features]. A part with fewer leading
    axes is multiplied once: K action samples of one state share the state's product.
    """

    features: int

    @nn.compact
    def __call__(self, *parts: jax.Array) -> jax.Array:
        sizes = [part.shape[-1] for part in parts]
        init = uniform_fan_in(sum(sizes))
        kernel = self.param("kernel", init, (sum(sizes), self.features))
        out = self.param("bias", init, (self.features,))
        row = 0
        for part, size in zip(parts, sizes, strict=True):
            out = out + matmul(part, kernel[row : row + size])
            row += size
        return out


def matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Multiply as two matrices: the kernel's gradient then contracts one axis, not several, which
    XLA's CPU backend does several times slower.

    Devices that share out a batch cannot share out its product with the samples. So a long batch,
    [K, B, I] of B >= 1024 rows, is multiplied sample by sample, which is as fast.
    """
    if x.ndim > 2 and x.shape[-2] >= LONG_BATCH:
        return jax.vmap(matmul)(x, jnp.broadcast_to(kernel, (x.shape[0], *kernel.shape)))
    if kernel.shape[1] < kernel.shape[0]:
        # The same backend is slow where the gradient's last axis is short: make it the first.
        kernel = jax.lax.optimization_barrier(kernel.T).T
    flat = x.reshape(-1, x.shape[-1]) @ kernel
    return flat.reshape(*x.shape[:-1], kernel.shape[-1])


class MLP(nn.Module):
    """A ReLU perceptron over the concatenation of `parts`, with a linear output.

    features: sizes of the layers, the output's last. parts: as for `PartsDense`.
    """

    features: tuple[int, ...]

    @nn.compact
    def __call__(self, *parts: jax.Array) -> jax.Array:
        for size in self.features[:-1]:
            parts = (nn.relu(PartsDense(size)(*parts)),)
        return PartsDense(self.features[-1])(*parts)


def ensemble(size: int, features: tuple[int, ...]) -> nn.Module:
    """Make `size` independent MLPs of the same inputs; outputs are stacked on the last axis."""
    members = nn.vmap(
        MLP,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=None,
        out_axes=-1,
        axis_size=size,
    )
    return members(features)


def timestep_embedding(t: np.ndarray, size: int) -> np.ndarray:
    """Encode times by `size / 2` sines and as many cosines, divided by 4 as in the reference.

    t: [T] -> [T, size]; the frequencies are 10000^(-2 k / size).
    """
    angles = np.asarray(t)[:, None] * 10_000.0 ** (-2.0 * np.arange(size // 2) / size)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1) / 4.0


def in_parts(function: Callable[[Any], Any], samples: Any, rows: int = 1024) -> Any:
    """Evaluate a function of K action samples of B states on a few samples at a time.

    function: leaves [k, B, ...] -> leaves [k, B, ...], row by row; samples: leaves [K, B, ...];
    rows: the most rows k B at a time, unless B alone is more. Only on a CPU, where a part's
    activations stay in the cache: gradients of 8192 rows then take 60 % of the time. An
    accelerator does all at once.
    """
    if jax.default_backend() != "cpu":
        return function(samples)
    num_samples, batch = jax.tree.leaves(samples)[0].shape[:2]
    fitting = max(1, rows // batch)
    size = max(k for k in range(1, num_samples + 1) if num_samples % k == 0 and k <= fitting)
    if size == num_samples:
        return function(samples)
    parts = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), samples)
    done = jax.lax.map(function, parts)
    return jax.tree.map(lambda x: x.reshape(num_samples, *x.shape[2:]), done)
