"""A policy as serialised StableHLO, for any number of observations, on CPU and CUDA."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

PLATFORMS = ("cpu", "cuda")


def write(function: Callable[..., jax.Array], sizes: list[int], path: Path) -> None:
    """Write a function of float32 arrays [N, size], one for each size.

    Its rows are independent, so it is traced for one and mapped over N: whatever the networks
    decide by the length of a batch is then decided.
    """

    def of_row(*rows: jax.Array) -> jax.Array:
        return function(*(row[None] for row in rows))[0]

    (count,) = jax.export.symbolic_shape("N")
    shapes = [jax.ShapeDtypeStruct((count, size), jnp.float32) for size in sizes]
    exported = jax.export.export(jax.jit(jax.vmap(of_row)), platforms=PLATFORMS)(*shapes)
    path.write_bytes(exported.serialize())


def player(path: Path) -> Callable[..., jax.Array]:
    """Load a function that `write` wrote."""
    return jax.jit(jax.export.deserialize(bytearray(path.read_bytes())).call)
