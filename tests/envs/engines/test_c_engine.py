"""C MuJoCo called from JAX, beside Gymnasium: the same numbers, bit for bit."""

from functools import lru_cache, partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import envs
from drac_jax.runs.setup import run_setup
from envs.engines.c_engine import Simulator, on_host
from envs.engines.mjx_engine import gymnasium_spec
from envs.locomotion.robots import ROBOTS
from envs.locomotion.task import make_locomotion
from tests.support.robots import write_hopper_with_can

GYMNASIUM_NAMES = {name: name.capitalize() for name in ROBOTS} | {"halfcheetah": "HalfCheetah"}
STEPS = 200


@lru_cache
def task_of(name: str, version: Any = "v4") -> envs.Task:
    task = make_locomotion(name, version, impl="c")
    return task._replace(reset=jax.jit(task.reset), step=jax.jit(task.step))


def actions(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def float64(bits: jax.Array) -> np.ndarray:
    return np.asarray(bits).view(np.float64)


def play(task: envs.Task, sim: Any, actions: jax.Array) -> Any:
    """Play actions [T, A], on through terminations. -> TaskSteps [T, ...]."""

    def step(sim: Any, action: jax.Array) -> tuple[Any, Any]:
        out = task.step(sim, action)
        return out.sim, out

    return jax.lax.scan(step, sim, actions)[1]


def assert_equal(ours: Any, theirs: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def gymnasium_at(name: str, version: str, state: np.ndarray) -> Any:
    """Make Gymnasium's environment in a state, which begins with the time."""
    env = gymnasium.make(f"{GYMNASIUM_NAMES[name]}-{version}").unwrapped
    mujoco.mj_resetData(env.model, env.data)
    qpos, qvel, _ = np.split(state[1:], [env.model.nq, env.model.nq + env.model.nv])
    env.set_state(qpos, qvel)
    return env


@pytest.mark.parametrize("version", ["v4", "v5"])
@pytest.mark.parametrize("name", ROBOTS)
def test_an_open_loop_is_gymnasiums_bit_for_bit(name, version):
    pytest.importorskip("imageio", reason="gymnasium's MuJoCo environments need imageio")
    task = task_of(name, version)
    first = task.reset(jax.random.key(3))
    env = gymnasium_at(name, version, float64(first.sim.bits))
    np.testing.assert_array_equal(first.obs, np.float32(env._get_obs()))
    chosen = actions(STEPS, env.model.nu)
    ours = jax.jit(partial(play, task))(first.sim, jnp.asarray(chosen))
    # Gymnasium squares actions in the precision that they come in.
    theirs = [
        env.step(a)[:3] for a in chosen.astype(np.float64) * env.model.actuator_ctrlrange[:, 1]
    ]
    columns = zip(*theirs, strict=True)
    for mine, its in zip((ours.obs, ours.reward, ours.terminated), columns, strict=True):
        np.testing.assert_array_equal(mine, np.asarray(its).astype(mine.dtype))
    state = np.concatenate([env.data.qpos, env.data.qvel, env.data.qacc_warmstart])
    np.testing.assert_array_equal(float64(ours.sim.bits[-1])[1:-1], state)


def test_nested_vmaps_are_one_call_and_the_same_as_alone():
    task, chosen = task_of("hopper"), jnp.asarray(actions(2, 3, 3))
    keys = jax.random.split(jax.random.key(0), (2, 3))
    sims = jax.vmap(jax.vmap(task.reset))(keys).sim
    together = jax.jit(jax.vmap(jax.vmap(task.step)))(sims, chosen)
    for place in np.ndindex(2, 3):
        sim, out = jax.tree.map(lambda x, place=place: x[place], (sims, together))
        assert_equal(out, task.step(sim, chosen[place]))
    assert_equal(sims, jax.jit(jax.vmap(jax.vmap(task.reset)))(keys).sim)


def test_a_loop_compiled_is_the_same_as_step_by_step():
    task, chosen = task_of("ant", "v5"), jnp.asarray(actions(5, 8))
    sim = task.reset(jax.random.key(0)).sim
    compiled = jax.jit(partial(play, task))(sim, chosen)
    with jax.disable_jit():
        for t, action in enumerate(chosen):
            out = task.step(sim, action)
            sim = out.sim
            assert_equal(jax.tree.map(lambda x, t=t: x[t], compiled), out)


def test_a_state_that_was_saved_goes_on_as_if_it_had_not_been():
    task, chosen = task_of("halfcheetah"), jnp.asarray(actions(20, 6))
    go = jax.jit(partial(play, task))
    whole = go(task.reset(jax.random.key(0)).sim, chosen)
    saved = jax.tree.map(lambda x: np.array(x[9]), whole.sim)
    go(task.reset(jax.random.key(1)).sim, chosen)  # what was simulated in between is forgotten
    assert_equal(jax.tree.map(lambda x: x[10:], whole), go(saved, chosen[10:]))


def test_an_environment_that_diverges_is_replaced(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where MuJoCo writes its log
    env = envs.make("ant", impl="c")
    state = jax.jit(env.reset)(jax.random.split(jax.random.key(0), 2))
    state = jax.jit(env.step)(state, jnp.zeros((2, 8)))
    sim = state.internal.sim
    bad = float64(sim.bits).copy()
    bad[1, 1:30] = 1e12  # MuJoCo resets what is above 1e10
    sim = sim._replace(bits=jnp.asarray(bad.view(np.uint32)))
    after = jax.jit(env.step)(
        state.replace(internal=state.internal._replace(sim=sim)), jnp.zeros((2, 8))
    )
    assert after.info["broken"].tolist() == [False, True]
    assert jnp.isfinite(after.obs).all()


def test_numbers_that_float32_rounds_to_zero_are_kept():
    """XLA's own threads take for zero what is denormal."""
    half = on_host(lambda states, _: (states / 2, states), (1, 1), 1)
    least = np.float64([2e-308])
    bits, _ = jax.jit(half)(jnp.asarray(least.view(np.uint32)), jnp.zeros(1))
    assert float64(bits) == least / 2 > 0


def test_models_of_one_form_are_told_apart_by_their_numbers():
    specs = [gymnasium_spec("hopper.xml") for _ in range(2)]
    specs[1].option.gravity = [0, 0, 0]
    simulator = Simulator([spec.compile() for spec in specs], 4)
    states, _ = simulator.start(
        np.tile(simulator.model.qpos0, (3, 1)) + [0, 1, 0, 0, 0, 0], np.zeros((3, 6))
    )
    _, seen = simulator.advance(states, np.zeros((3, 3)), np.array([0, 1, 0]))
    assert seen.qvel[1, 1] == 0 > seen.qvel[0, 1] == seen.qvel[2, 1]


def test_fast_is_euler_with_few_iterations():
    model = envs.make("ant", impl="c", fidelity="fast").visual.model()
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER
    assert (model.opt.iterations, model.opt.ls_iterations) == (4, 8)


def test_several_devices_are_refused():
    class Mesh:
        size = 2

    with pytest.raises(ValueError, match="devices=2 cannot share hopper.*use devices=1"):
        run_setup.check_host(envs.make("hopper", impl="c"), Mesh())
    run_setup.check_host(envs.make("multigoal"), Mesh())


def test_another_processor_is_refused(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(ValueError, match="impl='c'.*is a gpu; use"):
        make_locomotion("hopper", impl="c")


def test_models_of_ones_own_may_have_what_mjx_cannot_collide(tmp_path):
    path = write_hopper_with_can(tmp_path, 0.4, 0.0, 0.3)
    own, bare = make_locomotion("hopper", xml_file=str(path), impl="c"), task_of("hopper")
    first = bare.reset(jax.random.key(0))
    pushed = jnp.ones((20, 3))
    ours, theirs = (jax.jit(partial(play, task))(first.sim, pushed) for task in (own, bare))
    assert jnp.isfinite(ours.obs).all()
    assert abs(ours.obs - theirs.obs).max() > 1e-3  # it runs into the can
