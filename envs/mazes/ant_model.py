"""The model of the ant mazes: Gymnasium's ant among boxes."""

import mujoco
import numpy as np

from envs.engines.mjx_engine import gymnasium_spec
from envs.locomotion.robots import ROBOTS
from envs.mazes.maze_map import Dynamics

ANT = ROBOTS["ant"](True)  # whose model and frame skip it has
WALL_HALF_HEIGHT = 1.0  # m
WALL_NAME = "wall_{}"


def ant_among(
    boxes: np.ndarray, dynamics: Dynamics = "authors", overlaps_only: bool = False
) -> mujoco.MjSpec:
    """Write the model of Gymnasium's ant among boxes [W, 4], (x_min, y_min, x_max, y_max).

    overlaps_only: for an engine that finds no contact of ant and box before they overlap. The boxes
    are larger by the margins then, and the margins are 0.
    """
    spec = gymnasium_spec(ANT.file)
    # Margins are those of the model's own geoms. MuJoCo 3.17 adds those of two geoms that touch;
    # 3.1.6 took the larger of them, which is the sum where the world's is 0.
    margin = 0.0 if dynamics == "authors" else spec.geom("floor").margin
    spec.geom("floor").margin = margin
    own = spec.geom("torso_geom").margin
    extra, margin = (own + margin, -own) if overlaps_only else (0.0, margin)
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        half = np.array([(x1 - x0) / 2, (y1 - y0) / 2, WALL_HALF_HEIGHT])
        spec.worldbody.add_geom(
            name=WALL_NAME.format(number),
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[(x0 + x1) / 2, (y0 + y1) / 2, WALL_HALF_HEIGHT],
            size=half + extra,
            margin=margin,
            contype=1,
            conaffinity=1,  # the ant's own geoms have 0: they touch the world, not one another
        )
    return spec
