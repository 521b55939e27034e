"""Arrays of the reference implementation, kept beside the repository and not part of it."""

from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "reference"


def load(name: str) -> dict[str, np.ndarray]:
    """Load the arrays of one file; skips the test where there is none."""
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"no reference data: {path} is missing")
    return dict(np.load(path))
