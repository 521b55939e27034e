"""What follows from the masses of a model, for MJX: MuJoCo's mj_setConst where masses are scaled.

The mass matrix at qpos0 is linear in the masses (with their inertias) and the armatures:
M = rest + sum_b scale_b M_b + diag(armature). What contacts, limits and the solver read follows
from it and from Jacobians, which masses do not change.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from envs.engines.mjx_engine import mjx
from envs.engines.randomise import Plan, scaled


class Inertia(NamedTuple):
    """jacobians: of the bodies' centres of mass and rotations, [B, 6, V]; of_bodies: the M_b,
    [B, V, V]; rest: [V, V]; tendons: their Jacobian, [T, V]; below: whether body j is i or hangs
    on it, [B, B]; together: [V, V], averages over the dofs that share a weight; moves: [B]."""

    jacobians: np.ndarray
    of_bodies: np.ndarray
    rest: np.ndarray
    tendons: np.ndarray
    below: np.ndarray
    together: np.ndarray
    moves: np.ndarray


def on_mjx(plan: Plan, model: mujoco.MjModel) -> Callable[[mjx.Model, jax.Array], mjx.Model]:
    """Make (MJX's model, factors [F]) -> the model with these factors."""
    inertia = _of(model) if plan.changes_masses else None

    def multiplied(on_device: mjx.Model, factors: jax.Array) -> mjx.Model:
        fields = scaled(plan, factors)
        if inertia is not None:
            here = {"body_mass": model.body_mass, "dof_armature": model.dof_armature} | fields
            fields |= _following(inertia, model, here["body_mass"], here["dof_armature"])
        return on_device.tree_replace({n: jnp.asarray(x, jnp.float32) for n, x in fields.items()})

    return multiplied


def _of(model: mujoco.MjModel) -> Inertia:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)  # at qpos0
    bodies, dofs = model.nbody, model.nv
    jacobians = np.zeros((bodies, 6, dofs))
    for b in range(bodies):
        mujoco.mj_jacBodyCom(model, data, jacobians[b, :3], jacobians[b, 3:], b)
    axes = data.ximat.reshape(bodies, 3, 3)
    turned = np.einsum("bij,bj,bkj->bik", axes, model.body_inertia, axes)
    linear, angular = jacobians[:, :3], jacobians[:, 3:]
    of_bodies = model.body_mass[:, None, None] * (linear.mT @ linear)
    of_bodies += angular.mT @ turned @ angular
    whole = np.zeros((dofs, dofs))
    mujoco.mj_fullM(model, data, whole)
    rest = whole - of_bodies.sum(axis=0) - np.diag(model.dof_armature)
    tendons = np.zeros((model.ntendon, dofs))
    layout = (model.ten_J_rownnz, model.ten_J_rowadr, model.ten_J_colind)
    if model.ntendon:
        mujoco.mju_sparse2dense(tendons, data.ten_J, *layout)
    moves = model.body_invweight0[:, 0] > 0
    return Inertia(jacobians, of_bodies, rest, tendons, _below(model), _together(model), moves)


def _below(model: mujoco.MjModel) -> np.ndarray:
    below = np.eye(model.nbody, dtype=bool)
    for b in range(model.nbody - 1, 0, -1):  # children come after their parents
        below[model.body_parentid[b]] |= below[b]
    return below


def _together(model: mujoco.MjModel) -> np.ndarray:
    """Average over the three translations, and the three rotations, of a ball or a free joint."""
    numbers = np.arange(model.nv) - model.jnt_dofadr[model.dof_jntid]
    group = 2 * model.dof_jntid + numbers // 3
    same = group[:, None] == group
    return same / same.sum(axis=1, keepdims=True)


def _following(
    inertia: Inertia, model: mujoco.MjModel, mass: Any, armature: Any
) -> dict[str, jax.Array]:
    scale = mass / np.where(model.body_mass > 0, model.body_mass, 1.0)
    matrix = inertia.rest + jnp.tensordot(scale, inertia.of_bodies, 1) + jnp.diag(armature)
    inverse = jnp.linalg.inv(matrix)
    weight = ((inertia.jacobians @ inverse) * inertia.jacobians).sum(axis=-1)  # [B, 6]
    body = weight.reshape(-1, 2, 3).mean(axis=-1)
    return {
        "body_subtreemass": inertia.below @ mass,
        "body_invweight0": jnp.where(inertia.moves[:, None], body, 0.0),
        "dof_invweight0": inertia.together @ jnp.diag(inverse),
        "dof_M0": jnp.diag(matrix),
        "tendon_invweight0": ((inertia.tendons @ inverse) * inertia.tendons).sum(axis=-1),
        "stat.meaninertia": jnp.diag(matrix).mean(),
    }
