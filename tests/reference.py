"""Arrays of the reference implementation, kept beside the repository and not part of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "reference"


def load(name: str) -> dict[str, np.ndarray]:
    """Load the arrays of one file; skips the test where there is none."""
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"no reference data: {path} is missing")
    return dict(np.load(path))


def mlp(data: dict, name: str) -> dict:
    """Arrange the layers `<name>_w0, <name>_b0, ...` as the parameters of `networks.MLP`."""
    count = sum(key.startswith(f"{name}_w") for key in data)
    layers = {
        f"PartsDense_{i}": {"kernel": data[f"{name}_w{i}"].T, "bias": data[f"{name}_b{i}"]}
        for i in range(count)
    }
    return {"params": layers}


def twin(data: dict, when: str, net: str, stack: Callable = np.stack) -> dict:
    """Arrange two critics as the parameters of `critics.TwinCritic`."""
    members = [mlp(data, f"{when}_{net}{i}") for i in (1, 2)]
    return jax.tree.map(lambda *leaves: stack(leaves), *members)


def diffusion(data: dict, actor: str, time: str) -> dict:
    """Arrange the layers of a noise prediction as the parameters of `actors.diffusion`."""
    first, *rest = mlp(data, actor)["params"].values()
    named = {f"PartsDense_{i}": layer for i, layer in enumerate(rest)}
    return {"time": mlp(data, time), "first": {"params": first}, "rest": {"params": named}}


def assert_trees_close(ours: Any, theirs: Any, tolerance: dict[str, float]) -> None:
    """Compare two trees of arrays, leaf by leaf."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), ours, theirs)
