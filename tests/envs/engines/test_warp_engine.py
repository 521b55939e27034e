"""The engine `warp` against C MuJoCo and MJX's own engine, from the same states."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import envs
from envs.engines.mjx_engine import Physics, gymnasium_spec, make_physics, mjx
from envs.locomotion import task
from envs.locomotion.robots import ROBOTS
from envs.locomotion.task import make_locomotion
from envs.mazes import ant_maze, maze_map
from tests.support.robots import write_hopper_with_can
from tests.support.tolerances import assert_within

pytest.importorskip("warp", reason="the engine `warp` needs the extra of that name")

WORLDS, STEPS = 6, 30
STATE = ("qpos", "qvel", "qacc_warmstart")
MOTION = ("qpos", "qvel", "xpos", "xipos", "cinert", "cvel", "qfrc_actuator")
FORCES = ("qacc_warmstart", "cfrc_ext")
FEW_PASSES = {"xla_backend_optimization_level": 1}  # of XLA's compiler


@lru_cache
def physics_of(name: str, impl: Any = "warp") -> Physics:
    robot = ROBOTS[name](True)
    spec = gymnasium_spec(robot.file)
    return make_physics(spec, robot.frame_skip, "gymnasium", impl, -1, True, robot.room)


def seen(data: mjx.Data) -> dict[str, jax.Array]:
    """Return what tasks may look at."""
    hidden = {name: getattr(data._impl, name) for name in ("cinert", "cfrc_ext")}
    return {name: getattr(data, name) for name in (*STATE, *MOTION) if name != "cinert"} | hidden


def stepper(physics: Physics) -> Callable:
    """Compile (qpos, qvel, warmstart, ctrl), of all worlds -> `seen`."""

    def step(*state: jax.Array) -> dict[str, jax.Array]:
        return seen(physics.step(physics.on_device, *state))

    return jax.jit(jax.vmap(step), compiler_options=FEW_PASSES)


def stepped_in_c(model: mujoco.MjModel, frame_skip: int, *state: np.ndarray) -> dict[str, Any]:
    """Step each world in C. state: as for `stepper`."""
    data, rows = mujoco.MjData(model), []
    for world in zip(*state, strict=True):
        for name, value in zip((*STATE, "ctrl"), world, strict=True):
            getattr(data, name)[:] = value
        mujoco.mj_step(model, data, frame_skip)
        mujoco.mj_rnePostConstraint(model, data)
        rows.append({name: getattr(data, name).copy() for name in {*STATE, *MOTION, *FORCES}})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def start(name: str) -> list[jax.Array]:
    """Draw [qpos, qvel, warmstart] of all worlds."""
    draw = partial(task.draw_state, ROBOTS[name](True), physics_of(name).model)
    qpos, qvel = jax.vmap(draw)(jax.random.split(jax.random.key(0), WORLDS))
    return [qpos, qvel, jnp.zeros(qvel.shape)]


def controls(model: mujoco.MjModel, *shape: int) -> jax.Array:
    high = model.actuator_ctrlrange[:, 1]
    return jax.random.uniform(jax.random.key(1), (*shape, model.nu), minval=-high, maxval=high)


def error_of(ours: Any, theirs: Any) -> float:
    """Return the largest difference relative to the largest value of the world."""
    a, b = (np.asarray(x).reshape(WORLDS, -1) for x in (ours, theirs))
    return (np.abs(a - b).max(axis=1) / (1.0 + np.abs(b).max(axis=1))).max()


def assert_same_steps(name: str, theirs: Callable) -> None:
    """Follow `theirs` for STEPS, and take each of its steps from where it began as well."""
    state, ours = start(name), stepper(physics_of(name))
    touched = False
    for ctrl in controls(physics_of(name).model, STEPS, WORLDS):
        found, expected = ours(*state, ctrl), theirs(*state, ctrl)
        for field in MOTION:
            assert_within("warp step, motion", error_of(found[field], expected[field]))
        for field in FORCES:
            assert_within("warp step, forces", error_of(found[field], expected[field]))
        touched |= bool((expected["cfrc_ext"] != 0.0).any())
        state = [jnp.asarray(expected[field], jnp.float32) for field in STATE]
    assert touched or name == "swimmer"


@pytest.mark.parametrize("name", ROBOTS)
def test_step_is_that_of_c(name):
    frame_skip = ROBOTS[name](True).frame_skip
    assert_same_steps(name, partial(stepped_in_c, physics_of(name).model, frame_skip))


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["ant", pytest.param("humanoid", marks=pytest.mark.slow)])
def test_step_is_that_of_mjxs_own_engine(name):
    assert_same_steps(name, stepper(physics_of(name, "jax")))


def test_vmaps_and_scans_step_as_one_world_does():
    physics = physics_of("hopper")
    state, ctrl = start("hopper"), controls(physics.model, 3, WORLDS)

    def step(state: list[jax.Array], ctrl: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        data = physics.step(physics.on_device, *state, ctrl)
        return [data.qpos, data.qvel, data.qacc_warmstart], data.xpos

    nested = [x.reshape(2, WORLDS // 2, -1) for x in state]
    scan = jax.jit(lambda s, c: jax.lax.scan(jax.vmap(jax.vmap(step)), s, c))
    _, places = scan(nested, ctrl.reshape(len(ctrl), 2, WORLDS // 2, -1))
    alone = [x[-1] for x in state]
    for found, action in zip(places, ctrl, strict=True):
        alone, expected = step(alone, action[-1])
        np.testing.assert_allclose(found[-1, -1], expected, atol=1e-6)
    # What is the same for all worlds needs no axis.
    shared = jax.vmap(step, ([0, 0, None], None))([*state[:2], state[2][0]], ctrl[0, -1])[1]
    np.testing.assert_allclose(shared[-1], places[0, -1, -1], atol=1e-6)


def test_world_that_broke_is_whole_in_the_next_step():
    physics = physics_of("hopper")
    step, state = stepper(physics), start("hopper")
    ctrl = controls(physics.model, WORLDS)
    state[0] = state[0].at[:, 1].add(-0.1)  # into the floor
    expected = step(*state, ctrl)["qvel"]
    for bad in (jnp.nan, jnp.inf):
        broken = step(*(jnp.full(x.shape, bad) for x in state), ctrl)["qvel"]
        assert not jnp.isfinite(broken).any()
    np.testing.assert_array_equal(step(*state, ctrl)["qvel"], expected)


@pytest.mark.parametrize("name", ["ant", pytest.param("humanoid", marks=pytest.mark.heavy)])
def test_tasks_play(name):
    env = envs.make(name, version="v5", fidelity="fast", impl="warp")
    action = jnp.full((STEPS, WORLDS, env.spec.action_size), 0.3)
    play = jax.jit(lambda s: jax.lax.scan(lambda s, a: (env.step(s, a), s.obs), s, action))
    state, obs = play(jax.jit(env.reset)(jax.random.split(jax.random.key(0), WORLDS)))
    assert not state.info["broken"].any()
    assert (jnp.abs(jnp.diff(obs, axis=0)).max(axis=(0, 2)) > 0.0).all()


def test_walls_of_the_ant_maze_are_those_of_c():
    """Each ant is pushed to the walls around the map, in a direction of its own."""
    made = ant_maze.make_ant_maze("simple", dynamics="farama", impl="warp", cell_scale=1.0)
    maze = maze_map.build(maze_map.choose("simple", 1)[1], 1.0, False, dynamics="farama")
    model = ant_maze.ant_among(maze.walls, "farama").compile()
    model.opt.solver, model.opt.iterations = mujoco.mjtSolver.mjSOL_NEWTON, 100
    sim = jax.vmap(made.reset)(jax.random.split(jax.random.key(0), WORLDS)).sim
    angle = jnp.linspace(0.0, 2.0 * jnp.pi, WORLDS, endpoint=False)
    push, hits, step = 5.0 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1), 0, made.step
    for ctrl in controls(model, 20, WORLDS):
        sim = sim._replace(qvel=sim.qvel.at[:, :2].set(push))
        expected = stepped_in_c(model, ant_maze.ANT.frame_skip, *sim, ctrl)
        sim = jax.jit(jax.vmap(step))(sim, ctrl).sim
        assert_within("warp step, motion", error_of(sim.qvel, expected["qvel"]))
        hits += int((jnp.linalg.norm(sim.qvel[:, :2] - push, axis=1) > 4.0).sum())
    assert hits >= 3


@pytest.mark.heavy
def test_models_of_ones_own_may_have_what_mjx_cannot_collide(tmp_path):
    path = write_hopper_with_can(tmp_path, 3.0, 0.0, 1.0)
    made = make_locomotion("hopper", xml_file=str(path), impl="warp")
    first = made.reset(jax.random.key(0))
    assert jnp.isfinite(made.step(first.sim, jnp.zeros(3)).obs).all()
