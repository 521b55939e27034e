"""The hypervolume of points of quality and diversity. Source: arXiv 2511.01374."""

import numpy as np


def hypervolume(points: np.ndarray, reference: np.ndarray, two_at_least: bool = False) -> float:
    """Measure the area that points dominate above a reference point, both coordinates maximised.

    points: [N, 2]; those not strictly above the reference in both are left out; reference: [2].
    two_at_least: 0 where fewer than two points remain, as in the paper's final table.
    """
    points = np.asarray(points, np.float64).reshape(-1, 2)
    above = points[(points > reference).all(axis=1)] - reference
    if len(above) == 0 or (two_at_least and len(above) < 2):
        return 0.0
    # From the right: each point adds a strip as high as the highest so far, up to the next.
    x, y = above[np.argsort(-above[:, 0], kind="stable")].T
    return float(np.maximum.accumulate(y) @ (x - np.append(x[1:], 0.0)))
