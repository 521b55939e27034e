"""One environment step against Gymnasium on C MuJoCo: recorded v4 episodes, and v5 played live.

Each model is compiled once, for CHUNK states: both versions and the 60-step rollouts use the
same physics steps.
"""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.engines.mjx_engine import Physics, gymnasium_spec, make_physics
from envs.locomotion import task
from envs.locomotion.robots import ROBOTS, Robot
from envs.locomotion.task import Sim
from tests.support import reference
from tests.support.tolerances import a_rounding_off, assert_within

pytestmark = pytest.mark.heavy

EPISODES, STEPS = 3, 60
LOOPS = 3  # that are a rounding off
CHUNK = (1 + LOOPS) * EPISODES  # states
GYMNASIUM_NAMES = {
    "ant": "Ant",
    "halfcheetah": "HalfCheetah",
    "hopper": "Hopper",
    "humanoid": "Humanoid",
    "swimmer": "Swimmer",
    "walker2d": "Walker2d",
}
# Humanoid takes as long to compile as two others, and Hopper is a Walker2d with one leg.
SLOW = {"humanoid", "hopper"}
each_robot = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in ROBOTS],
)
CONTACT_FORCES = {376: 84, 348: 78}  # Humanoid's obs size -> numbers at its end that are forces


class Trace(NamedTuple):
    """N = EPISODES x STEPS steps in C, flattened. action: in [-1, 1]; x: of Robot.x before."""

    qpos: np.ndarray  # [EPISODES, STEPS + 1, Q]
    qvel: np.ndarray
    warmstart: np.ndarray
    obs: np.ndarray
    action: np.ndarray  # [EPISODES, STEPS, A]
    reward: np.ndarray
    terminated: np.ndarray
    x: np.ndarray

    def before(self, name: str) -> jax.Array:
        return jnp.asarray(flat(getattr(self, name)[:, :STEPS]), jnp.float32)

    def after(self, name: str) -> np.ndarray:
        values = getattr(self, name)
        return flat(values if values.shape[1] == STEPS else values[:, 1:])


def flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(EPISODES * STEPS, *values.shape[2:])


@lru_cache
def physics_of(name: str, file: str) -> Physics:
    robot = ROBOTS[name](file.endswith("v5.xml"))
    return make_physics(gymnasium_spec(file), robot.frame_skip, contact_forces=True)


@lru_cache
def compiled(name: str) -> Any:
    """Compile the step of v4's model. It takes the model as well, and v5's differs in numbers."""
    step = jax.vmap(physics_of(name, ROBOTS[name](False).file).step, (None, 0, 0, 0, 0))
    # Ant's steps would take longer than its compiling, were they not optimised at all.
    effort = {"xla_backend_optimization_level": 1} if name == "ant" else None
    return jax.jit(step, compiler_options=effort)


def in_turn(name: str, physics: Physics, *state: jax.Array) -> Any:
    """Step N x CHUNK states, CHUNK at a time."""
    parts = [
        compiled(name)(physics.on_device, *(x[i : i + CHUNK] for x in state))
        for i in range(0, len(state[0]), CHUNK)
    ]
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def step_all(robot: Robot, name: str, sim: Sim, action: jax.Array) -> Any:
    physics = physics_of(name, robot.file)
    ctrl = jax.vmap(partial(task.control, physics))(action)
    data = in_turn(name, physics, sim.qpos, sim.qvel, sim.warmstart, ctrl)
    return jax.vmap(partial(task.outcome, robot, physics))(sim, ctrl, data)


def one_step(robot: Robot, name: str, trace: Trace) -> Any:
    sim = Sim(*(trace.before(field) for field in Sim._fields))
    return step_all(robot, name, sim, trace.before("action"))


def error_of(ours: jax.Array, theirs: np.ndarray) -> float:
    """Measure the largest difference relative to each step's largest value."""
    theirs = theirs.reshape(len(theirs), -1)
    difference = np.abs(np.asarray(ours).reshape(theirs.shape) - theirs).max(axis=1)
    return (difference / (1.0 + np.abs(theirs).max(axis=1))).max()


def assert_same_step(out: Any, trace: Trace, name: str) -> None:
    assert_within(f"{name} step, position", error_of(out.sim.qpos, trace.after("qpos")))
    assert_within(f"{name} step, velocity", error_of(out.sim.qvel, trace.after("qvel")))
    obs, forces = trace.after("obs"), CONTACT_FORCES.get(out.obs.shape[1], 0)
    motion = obs.shape[1] - forces
    assert_within(f"{name} step, velocity", error_of(out.obs[:, :motion], obs[:, :motion]))
    if forces:
        assert_within(
            "humanoid step, contact forces", error_of(out.obs[:, motion:], obs[:, motion:])
        )
    assert_within(f"{name} step, velocity", error_of(out.reward, trace.after("reward")))
    np.testing.assert_array_equal(out.terminated, trace.after("terminated"))


@lru_cache
def recorded(name: str) -> Trace:
    data = reference.load("locomotion")
    fields = ("qpos", "qvel", "qacc_warmstart", "obs", "action", "reward", "terminated")
    columns = [data[f"{name}_{field}"] for field in fields]
    physics = physics_of(name, ROBOTS[name](False).file)
    place = jax.jit(jax.vmap(lambda q, v: ROBOTS[name](False).x(physics, physics.place(q, v))))
    first = place(*(jnp.asarray(column[:, 0], jnp.float32) for column in columns[:2]))
    return Trace(*columns, np.column_stack([first, data[f"{name}_info_x_position"]]))


@each_robot
def test_step_is_gymnasiums_v4(name):
    trace = recorded(name)
    assert_same_step(one_step(ROBOTS[name](False), name, trace), trace, name)


def paid_position(name: str, env: Any) -> float:
    """Read what the reward takes the velocity of: the torso, the centre of mass, or x."""
    data, mass = env.data, env.model.body_mass
    if name == "humanoid":
        return (mass * data.xipos[:, 0]).sum() / mass.sum()
    return data.xpos[1, 0] if name == "ant" else data.qpos[0]


@lru_cache
def played(name: str) -> Trace:
    """Play uniform random actions with the installed gymnasium, on through terminations."""
    env = gymnasium.make(f"{GYMNASIUM_NAMES[name]}-v5").unwrapped
    actions = np.random.default_rng(0).uniform(-1, 1, (EPISODES, STEPS, env.model.nu))
    episodes = []
    for seed, episode in enumerate(actions):
        obs, _ = env.reset(seed=seed)
        rows = [(*state_of(env), obs, paid_position(name, env))]
        outcomes = []
        for action in episode:
            obs, reward, terminated, *_ = env.step(action * env.model.actuator_ctrlrange[:, 1])
            rows.append((*state_of(env), obs, paid_position(name, env)))
            outcomes.append((reward, terminated))
        columns = [np.array(column) for column in zip(*rows, strict=True)]
        episodes.append(columns + [np.array(column) for column in zip(*outcomes, strict=True)])
    qpos, qvel, warmstart, obs, x, reward, terminated = map(np.stack, zip(*episodes, strict=True))
    return Trace(qpos, qvel, warmstart, obs, actions, reward, terminated, x)


def state_of(env: Any) -> list[np.ndarray]:
    return [getattr(env.data, name).copy() for name in ("qpos", "qvel", "qacc_warmstart")]


@each_robot
def test_step_is_that_of_the_installed_gymnasiums_v5(name):
    pytest.importorskip("imageio", reason="gymnasium's MuJoCo environments need imageio")
    trace = played(name)
    assert_same_step(one_step(ROBOTS[name](True), name, trace), trace, name)


def open_loops(name: str) -> np.ndarray:
    """Play the recorded actions from the recorded start; then LOOPS times more, a rounding off at
    every step. -> qpos [1 + LOOPS, EPISODES, STEPS, Q]."""
    robot, trace = ROBOTS[name](False), recorded(name)
    start = (getattr(trace, field)[:, 0] for field in Sim._fields)
    sims = [Sim(*(jnp.asarray(x, jnp.float32) for x in start))] * (1 + LOOPS)
    places = []
    for t in range(STEPS):
        off = [a_rounding_off(sim, seed=t * LOOPS + n) for n, sim in enumerate(sims[1:])]
        joined = jax.tree.map(lambda *x: jnp.concatenate(x), sims[0], *off)
        actions = jnp.asarray(np.tile(trace.action[:, t], (1 + LOOPS, 1)), jnp.float32)
        after = step_all(robot, name, joined, actions).sim
        parts = [range(i, i + EPISODES) for i in range(0, len(actions), EPISODES)]
        sims = [
            jax.tree.map(lambda x, here=here: x[here.start : here.stop], after) for here in parts
        ]
        places.append(np.stack([sim.qpos for sim in sims]))
    return np.stack(places, axis=2)


def of_scale(difference: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the largest difference until each step, relative to its values. -> [STEPS]."""
    errors = np.abs(difference).max(axis=-1) / (1.0 + np.abs(theirs).max(axis=-1))
    return np.maximum.accumulate(errors.reshape(-1, STEPS).max(axis=0))


@each_robot
def test_open_loop_follows_the_recording(name):
    """Contacts make rounding grow, in Ant and HalfCheetah to 0.1 within 60 steps; in float64 60
    steps agree to 1e-6. So ours may be as far from the recording as a multiple of how far loops
    come apart that differ by roundings."""
    theirs = recorded(name).qpos[:, 1:]
    ours, *off = open_loops(name)
    error, growth = of_scale(ours - theirs, theirs), of_scale(np.stack(off) - ours, theirs)
    assert_within("robot open loop, 10 steps", error[9])
    assert_within("ant open loop" if name == "ant" else "robot open loop", error / growth)
