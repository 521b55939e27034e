"""A model of one's own with a reward in a few lines: what it computes and refuses."""

import contextlib
import io
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import envs
from envs import contract
from envs.mjcf.own_task import make_mjcf
from tests.support.robots import ARM, write_robot

STEPS = 20

RULES = """
import jax.numpy as jnp

def reward(before, action, after):
    speed = (after.site("tip").xpos - before.site("tip").xpos) / (after.time - before.time)
    return speed[1] - 0.1 * jnp.sum(action**2)

def everything(before, action, after):
    parts = [
        *after.body("lower").xquat, *after.body("lower").xpos, *after.geom("forearm").xpos,
        after.joint("elbow").qpos, after.joint("elbow").qvel, after.time, *after.ctrl,
    ]
    return jnp.stack(parts) @ 2.0 ** jnp.arange(len(parts))

def late(before, action, after):
    return 1.0, after.time > 0.1

def tip(state):
    return state.site("tip").xpos[:2]

def folded(key, qpos, qvel):
    return qpos.at[1].set(1.0 + jax.random.uniform(key)), qvel

import jax

def wide(before, action, after):
    return action

def log_of_nothing(before, action, after):
    return jnp.log(after.qvel[0] - 1.0)

def misspelt(before, action, after):
    return after.site("tp").xpos[0]

def table(state):
    return state.qpos[:, None]

def half(key, qpos, qvel):
    return qpos
"""


@pytest.fixture
def arm(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_robot(tmp_path, ARM, RULES)


def played(task: envs.Task, actions: np.ndarray, key: int = 0) -> Any:
    """Play actions [T, A]. -> the first and the other TaskSteps [T, ...]."""
    first = jax.jit(task.reset)(jax.random.key(key))

    def step(sim: Any, action: jax.Array) -> tuple[Any, Any]:
        out = task.step(sim, action)
        return out.sim, out

    return first, jax.jit(lambda sim, a: jax.lax.scan(step, sim, a)[1])(first.sim, actions)


def actions(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def test_reward_and_obs_are_those_of_mujoco(arm):
    chosen = actions(STEPS, 2)
    first, out = played(make_mjcf("arm.xml", reward="arm.py:reward", impl="c"), chosen)
    model = mujoco.MjModel.from_xml_path("arm.xml")
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = np.split(np.asarray(first.obs, np.float64), 2)
    mujoco.mj_forward(model, data)
    for t, action in enumerate(chosen.astype(np.float64)):
        before = data.site("tip").xpos.copy()
        data.ctrl[:] = 0.5 * action  # the motors' range is +-0.5
        mujoco.mj_step(model, data, 5)
        mujoco.mj_kinematics(model, data)
        np.testing.assert_array_equal(
            out.obs[t], np.float32(np.concatenate([data.qpos, data.qvel]))
        )
        paid = (data.site("tip").xpos - before)[1] / 0.05 - 0.1 * (action**2).sum()
        np.testing.assert_allclose(out.reward[t], paid, rtol=1e-4, atol=1e-5)


@pytest.mark.heavy
def test_both_engines_show_a_reward_the_same(arm):
    chosen = actions(STEPS, 2)
    options: Any = {"reward": "arm.py:everything", "obs": "arm.py:tip", "reset": "arm.py:folded"}
    _, ours = played(make_mjcf("arm.xml", impl="jax", **options), chosen)
    _, theirs = played(make_mjcf("arm.xml", impl="c", **options), chosen)
    np.testing.assert_allclose(ours.reward, theirs.reward, rtol=2e-4)
    np.testing.assert_allclose(ours.obs, theirs.obs, atol=2e-5)


def test_positions_belong_to_qpos_and_are_not_a_physics_step_late(arm):
    _, out = played(make_mjcf("arm.xml", reward="arm.py:reward", impl="c"), actions(3, 2))
    shoulder, elbow = np.asarray(out.sim.seen.qpos).T
    tip = 0.2 * np.stack([np.cos(shoulder) + np.cos(shoulder + elbow),
                          np.sin(shoulder) + np.sin(shoulder + elbow)], axis=1)  # fmt: skip
    np.testing.assert_allclose(out.sim.seen.site_xpos[:, 0, :2], tip, atol=1e-6)


def test_a_reward_may_end_the_episode(arm):
    _, out = played(make_mjcf("arm.xml", reward="arm.py:late", impl="c"), actions(4, 2))
    assert out.terminated.tolist() == [False, False, True, True]  # 0.05 s a step


def test_reset_is_a_function_or_noise(arm):
    starts = [
        make_mjcf("arm.xml", reward="arm.py:reward", impl="c", **options).reset(jax.random.key(1))
        for options in ({"reset": "arm.py:folded"}, {"noise": 0.3}, {"noise": 0.0})
    ]
    folded, noisy, still = (np.asarray(start.obs) for start in starts)
    assert 1.0 < folded[1] < 2.0 and (folded[[0, 2, 3]] == 0.0).all()
    assert (noisy != 0.0).all() and (abs(noisy) <= 0.3).all()
    assert (still == 0.0).all()


def test_x_and_y_of_a_free_root_are_not_observed(arm, tmp_path):
    free = ARM.replace('<joint name="shoulder"/>', '<freejoint name="root"/>')
    free = free.replace('<motor joint="shoulder" ctrlrange="-0.5 0.5"/>', "")
    write_robot(tmp_path, free, RULES)
    task = make_mjcf("arm.xml", reward="arm.py:reward", impl="c")
    assert task.spec.obs_size == 8 + 7 - 2  # qpos has 7 + 1 numbers, qvel 6 + 1


def test_it_keeps_the_contract_and_can_be_drawn(arm):
    env = envs.make("mjcf:arm.xml", reward="arm.py:late", impl="c", max_steps=30, noise=0.2)
    assert env.spec.name == "mjcf_arm" and env.spec.max_steps == 30
    subject = contract.make_subject(env)
    assert [found for rule in contract.RULES for found in contract.examine(rule, subject)] == []
    qpos = jax.eval_shape(
        env.visual.qpos, jax.eval_shape(env.reset, jax.random.split(jax.random.key(0), 3))
    )
    assert qpos.shape == (3, env.visual.model().nq)


CYLINDERS = ARM.replace(
    "<worldbody>",
    '<worldbody><body pos="0 0 9"><freejoint/><geom name="can" type="cylinder" size=".1 .1" '
    'contype="1" conaffinity="1"/></body><geom type="box" size="1 1 1" contype="1" '
    'conaffinity="1"/>',
)
FILTERED = ARM.replace(
    '<motor joint="elbow" ctrlrange="-0.5 0.5"/>',
    '<general joint="elbow" dyntype="filter" dynprm="1" ctrlrange="-1 1"/>',
)


@pytest.mark.parametrize("model", [CYLINDERS, FILTERED], ids=["collision", "activation"])
def test_c_takes_what_mjx_refuses(arm, model):
    arm.write_text(model)
    task = make_mjcf("arm.xml", reward="arm.py:reward", impl="c")
    _, out = played(task, actions(3, task.spec.action_size))
    assert jnp.isfinite(out.obs).all()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("<mujoco><worldbody><bdy/></worldbody></mujoco>", "not a model that MuJoCo .*bdy"),
        (ARM.replace('motor joint="elbow"', 'motor joint="knee"'), "target 'knee'"),
        (ARM.partition("<actuator>")[0] + "</mujoco>", "arm.xml has no actuators"),
        (ARM.replace('"elbow" ctrlrange="-0.5 0.5"', '"elbow"'), "actuator number 1 has no ctrl"),
        (CYLINDERS, "MJX cannot take .*CYLINDER.*can.*use impl='c'"),
        (FILTERED, "impl='jax' cannot take actuators with activations .*use impl='c'"),
    ],
)
def test_what_is_wrong_with_a_model_is_said_in_one_line(arm, model, message):
    arm.write_text(model)
    with pytest.raises(ValueError, match=message) as raised:
        envs.make("mjcf:arm.xml", reward="arm.py:reward", impl="jax")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "it needs a reward; name a file and a function"),
        ({"reward": "arm.py"}, "reward='arm.py' names no file and function"),
        ({"reward": "leg.py:reward"}, "there is no file leg.py"),
        ({"reward": "arm.py:rewad"}, "arm.py has no function rewad; it has reward"),
        ({"reward": "arm.xml:reward"}, "arm.xml is not a Python file"),
        ({"reward": "broken.py:reward"}, "broken.py raises ZeroDivisionError"),
        ({"reward": "arm.py:wide"}, r"a reward of shape \(2,\); return a number"),
        ({"reward": "arm.py:log_of_nothing"}, "of mjcf_arm is nan in step 1"),
        ({"reward": "arm.py:misspelt"}, "the model has no site 'tp'; nearest: tip"),
        ({"reward": "arm.py:reward", "obs": "arm.py:table"}, r"shape \(2, 1\); it must be a vec"),
        ({"reward": "arm.py:reward", "reset": "arm.py:half"}, r"return qpos of shape \(2,\)"),
        ({"reward": "arm.py:reward", "colour": 1}, "no option 'colour'; it has reward, obs"),
        ({"reward": "arm.py:reward", "frame_skip": 0}, "frame_skip=0 must be at least 1"),
        ({"reward": "arm.py:reward", "max_steps": 0}, "max_steps=0 must be"),
        ({"reward": "arm.py:reward", "noise": -1.0}, "noise=-1.0 must be at least 0"),
        ({"reward": "arm.py:reward", "impl": "c++"}, r"impl='c\+\+' is unknown"),
    ],
)
def test_a_mistake_is_answered_in_one_line(arm, options, message):
    Path("broken.py").write_text("1 / 0")
    with pytest.raises(ValueError, match=message) as raised:
        envs.make("mjcf:arm.xml", **options)
    assert "\n" not in str(raised.value)


def test_a_file_is_run_once_for_all_its_functions(arm, tmp_path):
    file = tmp_path / "rules.py"
    file.write_text(f"print('run')\n{RULES}")
    with contextlib.redirect_stdout(io.StringIO()) as said:
        make_mjcf(str(arm), reward="rules.py:reward", obs="rules.py:tip", reset="rules.py:folded")
    assert said.getvalue() == "run\n"


def test_a_file_that_is_not_there_is_named(arm):
    with pytest.raises(ValueError, match="there is no file leg.xml"):
        envs.make("mjcf:leg.xml", reward="arm.py:reward")
