"""MultiGoal: a 2-D point without physics and four goals that are equally good."""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.types import EnvSpec, Scene
from envs.batching import Task, TaskStep

GOALS = np.array([[10.0, 0.0], [-10.0, 0.0], [0.0, 10.0], [0.0, -10.0]], np.float32)
GOAL_RADIUS = 1.0
GOAL_BONUS = 10.0
BOX = 20.0  # an episode is cut where |x| or |y| exceeds it
SEGMENT_POINTS = 10  # of the segment travelled, tested for being in a goal
WALL_X, WALL_HALF_Y = 5.0, 2.0
MAX_STEPS = 50


def make_multigoal(
    metric: Literal["linf", "euclidean"] = "linf",
    reward: Literal["dense", "sparse"] = "dense",
    obstacles: bool = False,
) -> Task:
    """Make the MultiGoal task.

    obs: [2], the position, starting at (0, 0); action: [2], the displacement of one step.
    reward: `dense`, the decrease of the distance to the nearest goal, plus 10 on the step that
    reaches a goal; `sparse`, only the 10. Reaching terminates; leaving the box |x|, |y| <= 20 and
    50 steps truncate. metric: of the distance, for both reward and reaching (within 1.0).
    obstacles: two walls at x = +-5, |y| < 2, which stop a crossing from inside where it happens.
    Source: the MultiGoal task of DrAC (arXiv 2511.01374).
    """
    if metric not in ("linf", "euclidean"):
        raise ValueError(f"metric={metric!r} is unknown; use 'linf' or 'euclidean'")
    if reward not in ("dense", "sparse"):
        raise ValueError(f"reward={reward!r} is unknown; use 'dense' or 'sparse'")

    distances = partial(_goal_distances, metric)

    def reset(key: jax.Array) -> TaskStep:
        start = jnp.zeros(2)
        return TaskStep(sim=start, obs=start)

    def step(position: jax.Array, action: jax.Array) -> TaskStep:
        # The goal test sees the unobstructed segment, as the reference's does.
        along = jnp.linspace(0.0, 1.0, SEGMENT_POINTS)[:, None]
        entered = (distances(position + along * action) <= GOAL_RADIUS).any(axis=0)
        reached = entered.any()
        goal = jnp.where(reached, jnp.argmax(entered) + 1, 0)
        target = position + action
        moved = _stop_at_walls(position, target) if obstacles else target
        progress = distances(position).min() - distances(moved).min()
        paid = GOAL_BONUS * reached + (progress if reward == "dense" else 0.0)
        left_box = (jnp.abs(moved) > BOX).any()
        return TaskStep(moved, moved, paid, reached, left_box, goal)

    variant = "_".join(["multigoal", metric, reward] + ["obstacles"] * obstacles)
    spec = EnvSpec(variant, 2, 2, MAX_STEPS, len(GOALS), _scene(metric, obstacles))
    return Task(spec, reset, step)


def _goal_distances(metric: str, points: jax.Array) -> jax.Array:
    """Measure the distance of points [..., 2] to every goal. -> [..., G]."""
    offset = points[..., None, :] - GOALS
    if metric == "linf":
        return jnp.abs(offset).max(axis=-1)
    return jnp.sqrt(jnp.square(offset).sum(axis=-1))


def _stop_at_walls(position: jax.Array, target: jax.Array) -> jax.Array:
    """Stop a move that crosses x = +-5 outward within |y| < 2 exactly where it crosses."""
    wall_x = WALL_X * jnp.sign(target[0])
    inside = jnp.abs(position[0]) <= WALL_X
    outward = jnp.abs(target[0]) > WALL_X
    span = target[0] - position[0]
    fraction = (wall_x - position[0]) / jnp.where(span == 0.0, 1.0, span)
    cross_y = position[1] + fraction * (target[1] - position[1])
    blocked = inside & outward & (jnp.abs(cross_y) < WALL_HALF_Y)
    return jnp.where(blocked, jnp.stack([wall_x, cross_y]), target)


def _scene(metric: str, obstacles: bool) -> Scene:
    sides = [-WALL_X, WALL_X] if obstacles else []
    walls = [[x - 0.05, -WALL_HALF_Y, x + 0.05, WALL_HALF_Y] for x in sides]
    return Scene(
        bounds=(-13.0, 13.0, -13.0, 13.0),
        walls=np.array(walls).reshape(-1, 4),
        goals=GOALS,
        goal_radius=GOAL_RADIUS,
        goal_shape="square" if metric == "linf" else "circle",
        start=(0.0, 0.0),
    )
