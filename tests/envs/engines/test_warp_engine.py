"""Warp against MJX's own engine, from the same states: both on this device."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import envs
from envs.engines.mjx_engine import Physics, gymnasium_spec, make_physics
from envs.locomotion import task
from envs.locomotion.robots import ROBOTS
from envs.locomotion.task import make_locomotion
from tests.support.tolerances import assert_within

pytest.importorskip("warp", reason="the engine `warp` needs the extra of that name")

WORLDS, STEPS = 6, 30
SLOW = {"humanoid", "halfcheetah", "walker2d", "swimmer"}
each_robot = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in ROBOTS]
)


@lru_cache
def physics_of(name: str, impl: Any) -> Physics:
    robot = ROBOTS[name](True)
    forces, room = True, robot.room
    spec = gymnasium_spec(robot.file)
    return make_physics(spec, robot.frame_skip, "gymnasium", impl, -1, forces, room)


def stepper(name: str, impl: Any) -> Callable:
    """Compile, of all worlds, what tasks look at after a step."""
    physics = physics_of(name, impl)

    def step(*state: jax.Array) -> dict[str, jax.Array]:
        data = physics.step(physics.on_device, *state)
        seen = ("qpos", "qvel", "qacc_warmstart", "xpos", "xipos", "cvel", "qfrc_actuator")
        forces = {"cinert": data._impl.cinert, "cfrc_ext": data._impl.cfrc_ext}
        return {key: getattr(data, key) for key in seen} | forces

    return jax.jit(jax.vmap(step), compiler_options={"xla_backend_optimization_level": 1})


def start(name: str) -> list[jax.Array]:
    """Draw [qpos, qvel, warmstart] of all worlds."""
    robot, model = ROBOTS[name](True), physics_of(name, "warp").model
    keys = jax.random.split(jax.random.key(0), WORLDS)
    qpos, qvel = jax.vmap(lambda key: task.draw_state(robot, model, key))(keys)
    return [qpos, qvel, jnp.zeros(qvel.shape)]


def actions(model: mujoco.MjModel, *shape: int) -> jax.Array:
    high = model.actuator_ctrlrange[:, 1]
    return jax.random.uniform(jax.random.key(1), (*shape, model.nu), minval=-high, maxval=high)


def error_of(ours: jax.Array, theirs: jax.Array) -> float:
    """Return the largest difference relative to the largest value of the world."""
    a, b = np.asarray(ours).reshape(WORLDS, -1), np.asarray(theirs).reshape(WORLDS, -1)
    return (np.abs(a - b).max(axis=1) / (1.0 + np.abs(b).max(axis=1))).max()


@pytest.mark.heavy
@each_robot
def test_steps_are_those_of_mjx(name):
    state, steppers = start(name), [stepper(name, impl) for impl in ("warp", "jax")]
    touched = False
    for ctrl in actions(physics_of(name, "warp").model, STEPS, WORLDS):
        ours, theirs = (step(*state, ctrl) for step in steppers)
        state = [theirs[key] for key in ("qpos", "qvel", "qacc_warmstart")]
        touched |= bool((theirs["cfrc_ext"] != 0.0).any())
        for key, value in theirs.items():
            row = "contact forces" if key == "cfrc_ext" else "motion"
            assert_within(f"warp step, {row}", error_of(ours[key], value))
    assert touched or name == "swimmer"


def test_vmaps_and_scans_step_as_one_world_does():
    physics = physics_of("hopper", "warp")
    state, ctrl = start("hopper"), actions(physics.model, 3, WORLDS)

    def step(state: list[jax.Array], ctrl: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        data = physics.step(physics.on_device, *state, ctrl)
        return [data.qpos, data.qvel, data.qacc_warmstart], data.xpos

    def rows(x: jax.Array) -> jax.Array:
        return x.reshape(2, WORLDS // 2, *x.shape[1:])

    nested = jax.vmap(jax.vmap(step))
    _, xpos = jax.jit(lambda s, c: jax.lax.scan(nested, s, c))(
        [rows(x) for x in state], jnp.stack([rows(x) for x in ctrl])
    )
    alone = [x[-1] for x in state]
    for t in range(len(ctrl)):
        alone, expected = step(alone, ctrl[t, -1])
        np.testing.assert_allclose(xpos[t, -1, -1], expected, atol=1e-6)
    # What is the same for all worlds needs no axis.
    shared = jax.vmap(step, ([0, 0, None], None))([*state[:2], state[2][0]], ctrl[0, -1])[1]
    np.testing.assert_allclose(shared[-1], xpos[0, -1, -1], atol=1e-6)


def test_a_world_that_broke_is_whole_again_in_the_next_step():
    physics = physics_of("hopper", "warp")
    step = jax.jit(jax.vmap(lambda *x: physics.step(physics.on_device, *x).qvel))
    state, ctrl = start("hopper"), actions(physics.model, WORLDS)
    state[0] = state[0].at[:, 1].add(-0.1)  # into the floor
    expected = step(*state, ctrl)
    broken = step(jnp.full(state[0].shape, jnp.nan), *state[1:], ctrl)
    assert not jnp.isfinite(broken).any()
    np.testing.assert_array_equal(step(*state, ctrl), expected)


@pytest.mark.parametrize("name", ["humanoid", "ant"])
def test_tasks_play(name):
    env = envs.make(name, version="v5", fidelity="fast", impl="warp")
    state = jax.jit(env.reset)(jax.random.split(jax.random.key(0), WORLDS))
    action = jnp.ones((STEPS, WORLDS, env.spec.action_size)) * 0.3
    state, seen = jax.jit(lambda s: jax.lax.scan(lambda s, a: (env.step(s, a), s.obs), s, action))(
        state
    )
    assert not state.info["broken"].any()
    assert (jnp.abs(seen[1:] - seen[:-1]).max(axis=(0, 2)) > 0.0).all()


def test_walls_of_the_ant_maze_stop_the_ant():
    options = {"layout": "simple", "dynamics": "farama", "fidelity": "fast", "contact_forces": True}
    outs = []
    for impl in ("warp", "jax"):
        built = envs.make("ant_maze", impl=impl, **options)
        outs.append(built)
    assert outs[0].spec.obs_size == outs[1].spec.obs_size


def test_models_of_ones_own_may_have_what_mjx_cannot_collide(tmp_path):
    spec = gymnasium_spec("hopper.xml")
    spec.worldbody.add_geom(
        name="can", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, size=[0.1, 0.2, 0.3], pos=[3, 0, 1]
    )
    path = tmp_path / "hopper.xml"
    spec.compile()
    path.write_text(spec.to_xml())
    made = make_locomotion("hopper", xml_file=str(path), impl="warp")
    first = made.reset(jax.random.key(0))
    after = made.step(first.sim, jnp.zeros(3))
    assert jnp.isfinite(after.obs).all()
