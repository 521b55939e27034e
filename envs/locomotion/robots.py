"""The robots of Gymnasium's locomotion tasks: models, observations, rewards, terminations.

In every docstring q and v are the joint positions and velocities, in m, rad, m/s and rad/s, in the
order of Gymnasium's documentation; `fast` is the fidelity for thousands of environments (see
`locomotion`), which keeps only the deepest contacts.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import mujoco

from envs.engines.mjx_engine import Room
from envs.engines.observables import Observables


class Simulated(Protocol):
    """model: what is simulated; dt: seconds of an env step."""

    @property
    def model(self) -> mujoco.MjModel: ...

    @property
    def dt(self) -> float: ...


class Robot(NamedTuple):
    """What tells one task from another. Its functions take arrays of JAX or of NumPy, with any
    leading axes.

    hidden: leading positions that are not observed; noise: of the initial state, uniform in
    +-noise, the velocities normal with that deviation where `normal_velocity`; velocity_limit:
    observed velocities are clipped to it; healthy: (qpos, qvel) -> bool, terminates where false;
    pay_unhealthy: the healthy reward is paid on the terminating step too (v4 does);
    x: (simulated, Observables) -> the coordinate whose velocity is paid, m; observe: (Observables)
    -> what is observed besides q and v; reads: the Observables besides q and v that these two and
    contact_cost look at; contact_cost: (cfrc_ext [..., bodies, 6]) -> cost; contacts: those kept
    in `fast`; room: for the engine `warp`, twice or more what random actions needed, played on
    where an episode would end: near pairs of 64 mean environments in 1000 physics steps of Warp,
    and constraints of one there or in 200 episodes of C MuJoCo.
    """

    file: str
    frame_skip: int
    hidden: int
    ctrl_cost: float
    noise: float
    contacts: int
    room: Room
    normal_velocity: bool = False
    velocity_limit: float = math.inf
    forward_reward: float = 1.0
    healthy_reward: float = 0.0
    healthy: Callable[[Any, Any], Any] | None = None
    pay_unhealthy: bool = True
    x: Callable[[Simulated, Observables], Any] = lambda simulated, seen: seen.qpos[..., 0]
    observe: Callable[[Observables], list[Any]] = lambda seen: []
    reads: tuple[str, ...] = ()
    contact_cost: Callable[[Any], Any] | None = None

    @property
    def contact_forces(self) -> bool:
        """Whether contact forces must be computed."""
        return "cfrc_ext" in self.reads


def ant(v5: bool) -> Robot:
    """Describe Ant: four legs, 8 motors in [-1, 1].

    obs: [27], q without x and y (13), v (14); v5 [105], also the contact forces and torques on
    the 13 bodies, clipped to +-1 (78). reward: forward velocity of the torso (m/s) + 1 while
    healthy - 0.5 |action|^2; v5 also - 5e-4 |clipped contact forces|^2. Ends where the torso's
    height leaves [0.2, 1.0]. Five physics steps of 0.01 s, RK4. `fast`: 12 contacts of 25.
    Source: gymnasium Ant-v4, Ant-v5.
    """

    def healthy(qpos: Any, qvel: Any) -> Any:
        return (qpos[..., 2] >= 0.2) & (qpos[..., 2] <= 1.0)

    robot = Robot(
        "ant.xml",
        frame_skip=5,
        hidden=2,
        ctrl_cost=0.5,
        noise=0.1,
        normal_velocity=True,
        healthy_reward=1.0,
        healthy=healthy,
        x=lambda simulated, seen: seen.xpos[..., 1, 0],
        reads=("xpos",),
        contacts=12,
        room=Room(contacts=12, constraints=80),  # 3.9 and 32 were needed
    )
    if v5:
        robot = robot._replace(
            pay_unhealthy=False,
            reads=("xpos", "cfrc_ext"),
            observe=lambda seen: [_flat(seen.cfrc_ext[..., 1:, :].clip(-1.0, 1.0))],
            contact_cost=lambda forces: 5e-4 * (_flat(forces.clip(-1.0, 1.0)) ** 2).sum(axis=-1),
        )
    return robot


def halfcheetah(v5: bool) -> Robot:
    """Describe HalfCheetah: a planar runner with 6 motors in [-1, 1].

    obs: [17], q without x (8), v (9). reward: forward velocity (m/s) - 0.1 |action|^2. Never ends.
    Five physics steps of 0.01 s, Euler. `fast`: 8 contacts of 16.
    Source: gymnasium HalfCheetah-v4, HalfCheetah-v5 (the same task).
    """
    return Robot(
        "half_cheetah.xml",
        frame_skip=5,
        hidden=1,
        ctrl_cost=0.1,
        noise=0.1,
        normal_velocity=True,
        contacts=8,
        room=Room(contacts=8, constraints=64),  # 1.7 and 26
    )


def hopper(v5: bool) -> Robot:
    """Describe Hopper: one planar leg with 3 motors in [-1, 1].

    obs: [11], q without x (5), v clipped to +-10 (6). reward: forward velocity (m/s) + 1 while
    healthy - 0.001 |action|^2. Ends where the height is below 0.7, the angle leaves +-0.2 or
    another coordinate +-100. Four physics steps of 0.002 s, RK4. `fast`: 6 contacts of 11.
    Source: gymnasium Hopper-v4, Hopper-v5 (which pays the healthy reward only while healthy).
    """

    def healthy(qpos: Any, qvel: Any) -> Any:
        bounded = (abs(qpos[..., 2:]) < 100.0).all(axis=-1) & (abs(qvel) < 100.0).all(axis=-1)
        return bounded & (qpos[..., 1] > 0.7) & (abs(qpos[..., 2]) < 0.2)

    return Robot(
        "hopper.xml",
        frame_skip=4,
        hidden=1,
        ctrl_cost=1e-3,
        noise=5e-3,
        velocity_limit=10.0,
        healthy_reward=1.0,
        healthy=healthy,
        pay_unhealthy=not v5,
        contacts=6,
        room=Room(contacts=8, constraints=48),  # 2.8 and 21
    )


def walker2d(v5: bool) -> Robot:
    """Describe Walker2d: two planar legs with 6 motors in [-1, 1].

    obs: [17], q without x (8), v clipped to +-10 (9). reward: forward velocity (m/s) + 1 while
    healthy - 0.001 |action|^2. Ends where the height leaves (0.8, 2) or the angle +-1. Four
    physics steps of 0.002 s, RK4. `fast`: 6 contacts of 14.
    Source: gymnasium Walker2d-v4, Walker2d-v5 (other foot friction; the healthy reward is paid
    only while healthy).
    """

    def healthy(qpos: Any, qvel: Any) -> Any:
        height, angle = qpos[..., 1], qpos[..., 2]
        return (height > 0.8) & (height < 2.0) & (abs(angle) < 1.0)

    return Robot(
        "walker2d_v5.xml" if v5 else "walker2d.xml",
        frame_skip=4,
        hidden=1,
        ctrl_cost=1e-3,
        noise=5e-3,
        velocity_limit=10.0,
        healthy_reward=1.0,
        healthy=healthy,
        pay_unhealthy=not v5,
        contacts=6,
        room=Room(contacts=12, constraints=96),  # 3.7 and 44
    )


def swimmer(v5: bool) -> Robot:
    """Describe Swimmer: three links in a viscous fluid, 2 motors in [-1, 1].

    obs: [8], q without x and y (3), v (5). reward: forward velocity (m/s) - 1e-4 |action|^2.
    Never ends. Four physics steps of 0.01 s, RK4; it touches nothing.
    Source: gymnasium Swimmer-v4, Swimmer-v5 (the same task).
    """
    return Robot(
        "swimmer.xml",
        frame_skip=4,
        hidden=2,
        ctrl_cost=1e-4,
        noise=0.1,
        contacts=-1,
        room=Room(contacts=1, constraints=16),  # 0 and 2
    )


def humanoid(v5: bool) -> Robot:
    """Describe Humanoid: 17 motors; actions in [-1, 1] are scaled to the motors' +-0.4.

    obs: [376], q without x and y (22), v (23), inertias of the 14 bodies (140) and their
    velocities (84), motor forces on the joints (23), contact forces and torques on the bodies
    (84); v5 [348], without the world's and the root's of these, all zero. reward: 1.25 x forward
    velocity of the centre of mass (m/s) + 5 while healthy - 0.1 |motor control|^2; v5 also
    - min(10, 5e-7 |contact forces|^2). Ends where the height leaves (1, 2). Five physics steps
    of 0.003 s, RK4; Gymnasium's PGS is replaced by Newton. `fast`: 16 contacts of 138.
    Source: gymnasium Humanoid-v4, Humanoid-v5.
    """
    skipped = int(v5)

    def healthy(qpos: Any, qvel: Any) -> Any:
        return (qpos[..., 2] > 1.0) & (qpos[..., 2] < 2.0)

    def observe(seen: Observables) -> list[Any]:
        inertia, velocity, forces = (
            _flat(x[..., skipped:, :]) for x in (seen.cinert, seen.cvel, seen.cfrc_ext)
        )
        return [inertia, velocity, seen.qfrc_actuator[..., 6 * skipped :], forces]

    robot = Robot(
        "humanoid.xml",
        frame_skip=5,
        hidden=2,
        ctrl_cost=0.1,
        noise=1e-2,
        forward_reward=1.25,
        healthy_reward=5.0,
        healthy=healthy,
        x=_centre_of_mass_x,
        observe=observe,
        reads=("xipos", "cinert", "cvel", "qfrc_actuator", "cfrc_ext"),
        contacts=16,
        room=Room(contacts=40, constraints=96),  # 15 and 42
    )
    if v5:
        robot = robot._replace(
            pay_unhealthy=False,
            contact_cost=lambda forces: (5e-7 * (_flat(forces) ** 2).sum(axis=-1)).clip(max=10.0),
        )
    return robot


def _flat(bodies: Any) -> Any:
    """Join the last two axes."""
    return bodies.reshape(*bodies.shape[:-2], -1)


def _centre_of_mass_x(simulated: Simulated, seen: Observables) -> Any:
    mass = simulated.model.body_mass
    if isinstance(seen.xipos, jax.Array):
        mass = jnp.asarray(mass, jnp.float32)
    return (mass * seen.xipos[..., 0]).sum(axis=-1) / mass.sum()


ROBOTS = {
    "ant": ant,
    "halfcheetah": halfcheetah,
    "hopper": hopper,
    "humanoid": humanoid,
    "swimmer": swimmer,
    "walker2d": walker2d,
}


def draw_state(robot: Robot, model: mujoco.MjModel, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draw an initial state: qpos [Q] and qvel [V]."""
    noise = robot.noise
    qpos_key, qvel_key = jax.random.split(key)
    qpos = model.qpos0 + jax.random.uniform(qpos_key, (model.nq,), minval=-noise, maxval=noise)
    if robot.normal_velocity:
        return qpos, noise * jax.random.normal(qvel_key, (model.nv,))
    return qpos, jax.random.uniform(qvel_key, (model.nv,), minval=-noise, maxval=noise)


def observe(robot: Robot, seen: Observables) -> list[Any]:
    """Collect the parts of an observation, each [..., n]."""
    velocity = seen.qvel.clip(-robot.velocity_limit, robot.velocity_limit)
    return [seen.qpos[..., robot.hidden :], velocity, *robot.observe(seen)]


def judge(
    robot: Robot, simulated: Simulated, x_before: Any, ctrl: Any, seen: Observables
) -> tuple[Any, Any, Any]:
    """Pay a step. x_before: [...], where Robot.x was; ctrl: [..., A], of the motors.

    -> (x [...], reward [...], healthy [...] bool).
    """
    x = robot.x(simulated, seen)
    healthy = x == x  # NaN: the robot is gone
    if robot.healthy is not None:
        healthy = robot.healthy(seen.qpos, seen.qvel)
    cost = robot.ctrl_cost * (ctrl**2).sum(axis=-1)
    if robot.contact_cost is not None:
        cost = cost + robot.contact_cost(seen.cfrc_ext)
    forward = robot.forward_reward * ((x - x_before) / simulated.dt)
    return x, forward + robot.healthy_reward * (healthy | robot.pay_unhealthy) - cost, healthy
