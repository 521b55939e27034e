"""One member's agent in a compressed npz: only what its actions are computed from."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

NAME = "agent.npz"


def write(path: Path, agent: Any, kept: set[str]) -> None:
    """Write the leaves of `agent` that `kept` names, as `leaves` does."""
    arrays = {name: np.asarray(leaf) for name, leaf in leaves(agent).items() if name in kept}
    np.savez_compressed(path, allow_pickle=False, **arrays)


def read(path: Path, like: Any) -> Any:
    """Read an agent as that of the only member, leaves [1, ...]; those that were left out are zero.
    like: its shapes. Raises ValueError for a file of other networks."""
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    wanted = leaves(like)
    for name, array in kept.items():
        shape = wanted[name].shape if name in wanted else None
        if shape != (1, *array.shape):
            raise ValueError(f"{path}: {name} has shape {array.shape}, which fits no such network")
    found = {
        name: jnp.asarray(kept[name], leaf.dtype)[None]
        if name in kept
        else jnp.zeros(leaf.shape, leaf.dtype)
        for name, leaf in wanted.items()
    }
    placed = [jax.device_put(found[name], leaf.sharding) for name, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(like), placed)


def leaves(tree: Any) -> dict[str, Any]:
    """Name the leaves of a tree by the way to them, as `.actor.params['0']`."""
    return {
        jax.tree_util.keystr(at): leaf for at, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
