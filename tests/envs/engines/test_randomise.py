"""Factors of a model: MuJoCo's physics of the edited model, and a draw of its own every episode."""

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import envs
from drac_jax.types import Environment
from envs.engines import inertia
from envs.engines.c_engine import STATE, Simulator
from envs.engines.mjx_engine import gymnasium_spec
from envs.engines.randomise import (
    QUANTITIES,
    Drawn,
    Plan,
    draw_factors,
    make_plan,
    refuse_ranges_on,
    scaled,
)
from envs.engines.scaled_model import FOLLOWING, ScaledModel
from envs.locomotion.robots import ROBOTS
from envs.locomotion.task import make_locomotion
from tests.support.tolerances import assert_within

RANGES = {
    "geom_friction": (0.5, 1.5),
    "body_mass": (0.7, 1.4),
    "body_mass:torso": (0.8, 1.2),
    "dof_damping": (0.5, 2.0),
    "dof_armature": (0.8, 1.2),
    "actuator_gear": (0.9, 1.1),
    "gravity": (0.9, 1.1),
}
FACTORS = np.array([0.6, 1.3, 0.9, 1.7, 1.1, 0.95, 1.05])
STEPS = 30


@lru_cache
def model_of(name: str) -> mujoco.MjModel:
    return gymnasium_spec(ROBOTS[name](False).file).compile()


@lru_cache
def plan_of(name: str) -> Plan:
    plan = make_plan(RANGES, model_of(name))
    assert plan is not None
    return plan


def edited(name: str) -> mujoco.MjModel:
    """Edit the model's source by FACTORS, and compile it: nothing of ours takes part."""
    spec = gymnasium_spec(ROBOTS[name](False).file)
    friction, mass, torso, damping, armature, gear, gravity = FACTORS
    for body in spec.bodies:
        for geom in body.geoms:
            factor = mass * (torso if body.name == "torso" else 1.0)
            geom.mass, geom.density = geom.mass * factor, geom.density * factor
            geom.friction = geom.friction * friction
        for joint in body.joints:
            joint.damping, joint.armature = joint.damping * damping, joint.armature * armature
    for actuator in spec.actuators:
        actuator.gear = actuator.gear * gear
    spec.option.gravity = spec.option.gravity * gravity
    return spec.compile()


def actions(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("name", ["ant", "hopper", "walker2d"])
def test_c_steps_are_those_of_the_edited_model(name):
    robot, model = ROBOTS[name](False), model_of(name)
    simulator = Simulator([model], robot.frame_skip, plan=plan_of(name))
    qpos, qvel = np.array(model.qpos0), np.zeros(model.nv)
    states, _ = simulator.start(qpos[None], qvel[None])
    theirs = edited(name)
    data = mujoco.MjData(theirs)
    mujoco.mj_setState(theirs, data, states[0], STATE)
    for ctrl in actions(STEPS, model.nu).astype(np.float64):
        states, seen = simulator.advance(states, ctrl[None], factors=FACTORS[None])
        data.ctrl[:] = ctrl
        mujoco.mj_step(theirs, data, robot.frame_skip)
        # Masses are multiplied in another order than by the compiler, and contacts are unsteady.
        np.testing.assert_allclose(seen.qpos[0], data.qpos, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(seen.qvel[0], data.qvel, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ROBOTS)
def test_what_follows_from_masses_is_what_mujoco_computes(name):
    model, plan = model_of(name), plan_of_masses(name)
    factors = np.linspace(0.6, 1.6, len(plan.draws))
    constants = ScaledModel(plan, model)
    theirs = gymnasium_spec(ROBOTS[name](False).file).compile()
    constants.write(theirs, constants.views(theirs), factors)
    with jax.enable_x64(True):
        fields = scaled(plan, jnp.asarray(factors))
        found = inertia._following(
            inertia._of(model), model, fields["body_mass"], fields["dof_armature"]
        )
    assert set(found) == set(FOLLOWING) - {"actuator_acc0"} | {"stat.meaninertia"}
    for field, value in found.items():
        its = theirs.stat.meaninertia if "." in field else getattr(theirs, field)
        np.testing.assert_allclose(value, its, rtol=1e-9, err_msg=field)


@lru_cache
def plan_of_masses(name: str) -> Plan:
    """Every body has a range of its own."""
    model = model_of(name)
    bodies = [model.body(b).name for b in range(1, model.nbody)]
    ranges = {f"body_mass:{body}": (0.5, 2.0) for body in bodies if body}
    if model.dof_armature.any():
        ranges["dof_armature"] = (0.5, 2.0)
    plan = make_plan(ranges | {"body_mass": (0.5, 2.0)}, model)
    assert plan is not None
    armature = {"dof_armature": np.array(model.dof_armature)}
    return plan._replace(fields=armature | plan.fields)


@pytest.mark.slow
def test_both_engines_agree_on_a_randomised_model():
    """As on the model as it is: one step, from where C is."""
    c, ours = (make_locomotion("hopper", impl=impl, randomise=RANGES) for impl in ("c", "jax"))
    reset, c_step = jax.jit(jax.vmap(c.reset)), jax.jit(jax.vmap(c.step))
    drawn = reset(jax.random.split(jax.random.key(0), 8)).sim
    step = jax.jit(jax.vmap(ours.step))
    plain = jax.vmap(make_locomotion("hopper", impl="jax").reset)(
        jax.random.split(jax.random.key(0), 8)
    ).sim
    for chosen in jnp.asarray(actions(STEPS, 8, 3)):
        state = np.asarray(drawn.sim.bits).view(np.float64)
        qpos, qvel, warmstart, x = (
            jnp.asarray(part, jnp.float32) for part in np.split(state[:, 1:], [6, 12, 18], axis=1)
        )
        sim = plain._replace(qpos=qpos, qvel=qvel, warmstart=warmstart, x=x[:, 0])
        out = step(Drawn(sim, drawn.factors), chosen)
        theirs = c_step(drawn, chosen)
        drawn = theirs.sim
        scale = 1.0 + jnp.abs(theirs.obs).max(axis=1, keepdims=True)
        error = (jnp.abs(out.obs - theirs.obs) / scale).max()
        assert_within("hopper step, velocity", float(error))


@lru_cache
def env_of(name: str, **ranges: tuple[float, float]) -> Environment:
    env = envs.make(name, impl="c", randomise=ranges)
    return env._replace(reset=jax.jit(env.reset), step=jax.jit(env.step))


def factors_of(state: Any) -> np.ndarray:
    return np.asarray(state.internal.sim.factors)


def test_every_environment_and_every_episode_has_a_draw_of_its_own():
    env = env_of("hopper", geom_friction=(0.5, 1.5), gravity=(0.8, 1.2))
    state = env.reset(jax.random.split(jax.random.key(0), 100))
    low, high = np.array([[0.5, 1.5], [0.8, 1.2]]).T
    seen = [factors_of(state)]
    for action in jnp.asarray(actions(60, 100, 3)):
        before = factors_of(state)
        state = env.step(state, action)
        done, now = np.asarray(state.done), factors_of(state)
        np.testing.assert_array_equal(now[~done], before[~done])
        seen.append(now[done])
    every = np.concatenate(seen)
    assert len(every) > 200  # Hopper falls often: more episodes than the pool has states
    assert len(np.unique(every, axis=0)) == len(every)
    assert ((low <= every) & (every <= high)).all()
    np.testing.assert_allclose(every.mean(axis=0), 1.0, atol=0.1)
    assert abs(np.corrcoef(every.T)[0, 1]) < 0.2


def test_seeds_under_vmap_draw_as_alone():
    env = env_of("hopper", gravity=(0.8, 1.2))
    keys = jax.random.split(jax.random.key(0), (3, 5))
    together = jax.vmap(env.reset)(keys)
    together = jax.vmap(env.step)(together, jnp.zeros((3, 5, 3)))
    for i in range(3):
        alone = env.step(env.reset(keys[i]), jnp.zeros((5, 3)))
        np.testing.assert_array_equal(factors_of(together)[i], factors_of(alone))
        np.testing.assert_array_equal(together.obs[i], alone.obs)
    assert len(np.unique(factors_of(together))) == 15


@pytest.mark.parametrize("quantity", ["geom_friction", "body_mass", "dof_damping", "gravity"])
def test_a_factor_changes_the_motion_and_one_does_not(quantity):
    """The factor 1 is the model as it is, bit for bit."""
    plain = make_locomotion("hopper", impl="c")
    moved = {}
    for factor in (1.0, 0.7):
        task = make_locomotion("hopper", impl="c", randomise={quantity: (factor, factor)})
        sim, its = task.reset(jax.random.key(0)).sim, plain.reset(jax.random.key(0)).sim
        step, plain_step = jax.jit(task.step), jax.jit(plain.step)
        for action in jnp.asarray(actions(25, 3)):
            sim, its = step(sim, action).sim, plain_step(its, action).sim
        moved[factor] = np.abs(np.asarray(sim.sim.qpos) - np.asarray(its.qpos)).max()
    assert moved[1.0] == 0.0 and moved[0.7] > 1e-4


def test_a_reset_does_not_see_what_a_step_has_left():
    env = env_of("humanoid", body_mass=(0.5, 2.0))
    keys = jax.random.split(jax.random.key(0), 3)
    first = env.reset(keys)
    env.step(first, jnp.ones((3, 17)))
    np.testing.assert_array_equal(env.reset(keys).obs, first.obs)


def test_no_ranges_are_no_program_more():
    key, action = jax.random.key(0), jnp.zeros(3)
    plain, empty = (make_locomotion("hopper", impl="c", **o) for o in ({}, {"randomise": {}}))
    sims = [task.reset(key).sim for task in (plain, empty)]
    programs = [
        str(jax.make_jaxpr(t.step)(s, action)) for t, s in zip((plain, empty), sims, strict=True)
    ]
    without_addresses = [p.split("call_all")[0] for p in programs]
    assert without_addresses[0] == without_addresses[1]
    assert not isinstance(sims[1], Drawn)


def test_all_quantities_reach_a_model_that_has_them():
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><body name="b"><joint name="j" axis="0 1 0" stiffness="3"
        damping="1" armature="0.1" frictionloss="0.2" springref="30"/><geom size="0.1" pos="0.3 0 0"
        name="g"/></body></worldbody><actuator><position name="a" joint="j" kp="5" kv="1"
        ctrlrange="-1 1"/></actuator></mujoco>"""
    )
    plan = make_plan(dict.fromkeys(QUANTITIES, (0.5, 2.0)), model)
    assert plan is not None
    simulator = Simulator([model], 5, plan=plan)
    ends = {}
    for i, quantity in enumerate(QUANTITIES):
        factors = np.ones((1, len(plan.draws)))
        factors[0, i] = 1.5
        states, _ = simulator.start(np.array([[0.4]]), np.array([[1.0]]))
        ends[quantity] = simulator.advance(states, np.ones((1, 1)), factors=factors)[1].qpos[0, 0]
    assert ends.pop("geom_friction") not in ends.values()  # nothing touches: the others move it
    assert len(set(ends.values())) == len(ends)
    kp = scaled(plan, np.where(np.arange(len(QUANTITIES)) == 7, 2.0, 1.0))
    np.testing.assert_array_equal(kp["actuator_gainprm"][0, :1], [10.0])
    np.testing.assert_array_equal(kp["actuator_biasprm"][0, :3], [0.0, -10.0, -1.0])


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"geom_fricton": (0.5, 1.5)}, "no quantity 'geom_fricton'; nearest: geom_friction"),
        ({"body_mass:torsi": (0.5, 1.5)}, "no body 'torsi'; nearest: torso"),
        ({"dof_damping:hip": (0.5, 1.5)}, "no joint 'hip'; nearest: "),
        ({"gravity:torso": (0.5, 1.5)}, "leave out :torso"),
        ({"body_mass": (1.5, 0.5)}, "the least .* and the largest; use 0.8 1.2"),
        ({"body_mass": (0.0, 1.0)}, "the least"),
        ({"body_mass": (1.0, float("nan"))}, "the least"),
        ({"body_mass": (1.0,)}, "must be two factors"),
        ({"body_mass": "ab"}, "must be two factors"),
        ({"dof_frictionloss": (0.5, 1.5)}, "dof_frictionloss is 0 in this model"),
    ],
)
def test_what_is_wrong_with_a_range_is_said_in_one_line(ranges, message):
    with pytest.raises(ValueError, match=message) as raised:
        envs.make("hopper", impl="c", randomise=ranges)
    assert "\n" not in str(raised.value)


def test_warp_refuses_ranges():
    with pytest.raises(ValueError, match="impl='warp' has one model for all; use 'jax'"):
        refuse_ranges_on("warp", {"gravity": (0.9, 1.1)})
    refuse_ranges_on("warp", {})


def test_draws_fill_the_range():
    plan = plan_of("hopper")
    drawn = jax.vmap(partial(draw_factors, plan))(jax.random.split(jax.random.key(0), 1000))
    low, high = np.float32([RANGES[name] for name in RANGES]).T
    assert ((drawn >= low) & (drawn <= high)).all()
    np.testing.assert_allclose(drawn.min(axis=0), low, atol=0.02)
    np.testing.assert_allclose(drawn.max(axis=0), high, atol=0.02)
