"""Multilayer perceptrons with the initialisation of the reference, and ensembles of them."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

Precision = Literal["float32", "tf32", "bfloat16"]
# Of products of float32 arrays. A GPU's and a TPU's own default is lower than float32; `HIGH` is
# TF32 on a GPU, three passes of bfloat16 on a TPU, and float32 on a CPU.
_OF_FLOAT32 = {"float32": jax.lax.Precision.HIGHEST, "tf32": jax.lax.Precision.HIGH}


class Style(NamedTuple):
    """How networks compute. precision: of their matrix products alone; layer_norm: normalise what
    a hidden layer's ReLU is taken of.

    Parameters, their gradients, biases, activations and outputs are float32 in every precision;
    `bfloat16` rounds both factors of each product, forward and backward, and sums in float32.
    """

    precision: Precision = "float32"
    layer_norm: bool = False


FLOAT32 = Style()
NORM_EPS = 1e-5  # PyTorch's
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
    style: Style = FLOAT32

    @nn.compact
    def __call__(self, *parts: jax.Array) -> jax.Array:
        sizes = [part.shape[-1] for part in parts]
        init = uniform_fan_in(sum(sizes))
        kernel = self.param("kernel", init, (sum(sizes), self.features))
        out = self.param("bias", init, (self.features,))
        row = 0
        for part, size in zip(parts, sizes, strict=True):
            out = out + matmul(part, kernel[row : row + size], self.style.precision)
            row += size
        return out


def matmul(x: jax.Array, kernel: jax.Array, precision: Precision = "float32") -> jax.Array:
    """Multiply as two matrices, in the precision given: the kernel's gradient then contracts one
    axis, not several, which XLA's CPU backend does several times slower.

    Devices that share out a batch cannot share out its product with the samples. So a long batch,
    [K, B, I] of B >= 1024 rows, is multiplied sample by sample, which is as fast.
    """
    if x.ndim > 2 and x.shape[-2] >= LONG_BATCH:
        multiply = partial(matmul, precision=precision)
        if jax.default_backend() != "cpu":
            return jax.vmap(multiply, (0, None))(x, kernel)
        # A copy of the kernel for each sample: its gradient, too, contracts one axis.
        return jax.vmap(multiply)(x, jnp.broadcast_to(kernel, (x.shape[0], *kernel.shape)))
    if kernel.shape[1] < kernel.shape[0] and jax.default_backend() == "cpu":
        # The same backend is slow where the gradient's last axis is short: make it the first.
        kernel = jax.lax.optimization_barrier(kernel.T).T
    flat = x.reshape(-1, x.shape[-1])
    if precision == "bfloat16":
        flat = rounded_product(flat, kernel)
    else:
        flat = jnp.matmul(flat, kernel, precision=_OF_FLOAT32[precision])
    return flat.reshape(*x.shape[:-1], kernel.shape[-1])


def multiplies_bfloat16() -> bool:
    """Say whether the device has bfloat16 products. No CPU has: XLA has no kernel for most, and the
    one for AMX crashes the process (jaxlib 0.12, layers of 256)."""
    return jax.default_backend() != "cpu"


@jax.custom_vjp
def rounded_product(x: jax.Array, y: jax.Array) -> jax.Array:
    """Multiply float32 matrices rounded to bfloat16, and sum in float32; the gradient likewise.

    A device without bfloat16 products multiplies the rounded factors in float32: the same numbers,
    and no gain in time.
    """
    return _product(_rounded(x), _rounded(y))


def _rounded(x: jax.Array) -> jax.Array:
    if multiplies_bfloat16():
        return x.astype(jnp.bfloat16)
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)


def _product(x: jax.Array, y: jax.Array) -> jax.Array:
    precision = jax.lax.Precision.HIGHEST
    return jnp.matmul(x, y, precision=precision, preferred_element_type=jnp.float32)


def _rounded_forward(x: jax.Array, y: jax.Array) -> tuple[jax.Array, tuple]:
    factors = _rounded(x), _rounded(y)  # in bfloat16, half the memory for the gradient
    return _product(*factors), factors


def _rounded_backward(factors: tuple, cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    (x, y), cotangent = factors, _rounded(cotangent)
    return _product(cotangent, y.T), _product(x.T, cotangent)


rounded_product.defvjp(_rounded_forward, _rounded_backward)


class Activation(nn.Module):
    """The ReLU of a hidden layer, of its normalised values if the style says so. Has parameters
    only then."""

    style: Style = FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.relu(nn.LayerNorm(epsilon=NORM_EPS)(x) if self.style.layer_norm else x)


class MLP(nn.Module):
    """A ReLU perceptron over the concatenation of `parts`, with a linear output.

    features: sizes of the layers, the output's last. parts: as for `PartsDense`.
    """

    features: tuple[int, ...]
    style: Style = FLOAT32

    @nn.compact
    def __call__(self, *parts: jax.Array) -> jax.Array:
        for size in self.features[:-1]:
            hidden = PartsDense(size, self.style)(*parts)
            parts = (Activation(self.style)(hidden),)
        return PartsDense(self.features[-1], self.style)(*parts)


def ensemble(size: int, network: type[nn.Module], *fields: Any) -> nn.Module:
    """Make `size` independent networks of the same inputs; outputs are stacked on the last axis."""
    members = nn.vmap(
        network,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=None,
        out_axes=-1,
        axis_size=size,
    )
    return members(*fields)


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
