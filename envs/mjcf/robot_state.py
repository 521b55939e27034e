"""What a reward, an observation or a reset of one's own looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

import jax
import mujoco


class Seen(NamedTuple):
    """Arrays of a state. time: s; qpos: [Q]; qvel: [V]; ctrl: [A], of the step that led here;
    positions, of the bodies, geoms and sites, m: [n, 3]; orientations of the bodies, quaternions
    with the real part first: [n, 4]."""

    time: jax.Array
    qpos: jax.Array
    qvel: jax.Array
    ctrl: jax.Array
    xpos: jax.Array
    xquat: jax.Array
    geom_xpos: jax.Array
    site_xpos: jax.Array


class Joint(NamedTuple):
    """Scalars of a hinge or a slide; of a ball and a free joint, arrays."""

    qpos: jax.Array
    qvel: jax.Array


class Body(NamedTuple):
    """xpos: [3], m; xquat: [4]."""

    xpos: jax.Array
    xquat: jax.Array


class Place(NamedTuple):
    """xpos: [3], m."""

    xpos: jax.Array


@dataclass(frozen=True)
class RobotState:
    """One state of one robot, read by the names of the model, as MuJoCo's own MjData.

    `state.qpos`, `state.site("tip").xpos`, `state.joint("elbow").qvel`. Positions are those of
    qpos. A name that is not in the model is a ValueError.
    """

    model: mujoco.MjModel
    seen: Seen

    @property
    def time(self) -> jax.Array:
        """Seconds since the episode began."""
        return self.seen.time

    @property
    def qpos(self) -> jax.Array:
        """[Q], m and rad."""
        return self.seen.qpos

    @property
    def qvel(self) -> jax.Array:
        """[V], m/s and rad/s."""
        return self.seen.qvel

    @property
    def ctrl(self) -> jax.Array:
        """[A], of the step that led here, in the units of the actuators; 0 at the start."""
        return self.seen.ctrl

    def body(self, name: str) -> Body:
        """Place a body's frame."""
        number = self._number("body", name)
        return Body(self.seen.xpos[number], self.seen.xquat[number])

    def geom(self, name: str) -> Place:
        """Place a geom's centre."""
        return Place(self.seen.geom_xpos[self._number("geom", name)])

    def site(self, name: str) -> Place:
        """Place a site."""
        return Place(self.seen.site_xpos[self._number("site", name)])

    def joint(self, name: str) -> Joint:
        """Read a joint."""
        number = self._number("joint", name)
        place, speed, sizes = joint_layout(self.model, number)
        if sizes == (1, 1):
            return Joint(self.qpos[place], self.qvel[speed])
        return Joint(self.qpos[place : place + sizes[0]], self.qvel[speed : speed + sizes[1]])

    def _number(self, kind: str, name: str) -> int:
        return number_of(self.model, kind, name)


def number_of(model: mujoco.MjModel, kind: str, name: str) -> int:
    """Find an element by name. kind: body, joint, geom, site, actuator. Raises ValueError."""
    number = mujoco.mj_name2id(model, getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}"), name)
    if number < 0:
        near = ", ".join(get_close_matches(name, names_of(model, kind), n=3, cutoff=0.0))
        raise ValueError(f"the model has no {kind} {name!r}; nearest: {near or 'none has a name'}")
    return number


def names_of(model: mujoco.MjModel, kind: str) -> Sequence[str]:
    """List the names of the elements that have one."""
    count = {"actuator": "nu", "joint": "njnt"}.get(kind, f"n{kind}")
    every = [getattr(model, kind)(i).name for i in range(getattr(model, count))]
    return [name for name in every if name]


def joint_layout(model: mujoco.MjModel, number: int) -> tuple[int, int, tuple[int, int]]:
    """Say where a joint begins in qpos and in qvel, and how many numbers it has in each."""
    sizes = {mujoco.mjtJoint.mjJNT_FREE: (7, 6), mujoco.mjtJoint.mjJNT_BALL: (4, 3)}
    size = sizes.get(mujoco.mjtJoint(int(model.jnt_type[number])), (1, 1))
    return int(model.jnt_qposadr[number]), int(model.jnt_dofadr[number]), size
