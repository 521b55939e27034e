"""Playground's domain randomisation: a model for each initial state, which the episode keeps."""

from functools import partial
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import envs
from envs.foreign.randomised_model import MODEL_KEY, RandomisedModel

NUM_ENVS, STEPS = 3, 4
NO_PLAYGROUND = "the extra `playground` is not installed"
# What Playground's randomisers of robots draw, each some of them.
FIELDS = (
    *("geom_friction", "pair_friction", "dof_frictionloss", "dof_armature"),
    *("body_ipos", "body_mass", "qpos0"),
)
ROBOTS = ("Go1JoystickFlatTerrain", "G1JoystickFlatTerrain")


@struct.dataclass
class State:
    data: jax.Array
    obs: jax.Array
    reward: jax.Array
    done: jax.Array
    info: dict


class Sledge:
    """What Playground's environments are to us: pushed, it moves by the push over its mass."""

    action_size, episode_length, dt = 1, 12, 0.02
    mj_model = None

    def __init__(self):
        self._mjx_model = {"mass": jnp.ones(()), "push": jnp.ones(1)}

    mjx_model = property(lambda self: self._mjx_model)
    unwrapped = property(lambda self: self)

    def reset(self, rng):
        place = self.mjx_model["mass"] + jax.random.uniform(rng, (1,))
        return State(place, place, jnp.zeros(()), jnp.zeros(()), {"last_act": jnp.zeros(1)})

    def step(self, state, action):
        place = state.data + self.mjx_model["push"] * action / self.mjx_model["mass"]
        state.info["last_act"] = action
        return state.replace(data=place, obs=place)


def draw_mass(model, rng):
    """Draw masses, in the form of Playground's own randomisers."""
    mass = jax.vmap(lambda key: jax.random.uniform(key, minval=1.0, maxval=2.0))(rng)
    return {**model, "mass": mass}, {"mass": 0, "push": None}


def raw_keys():
    return jax.random.key_data(jax.random.split(jax.random.key(3), NUM_ENVS))


def test_every_initial_state_has_a_model_of_its_own_and_keeps_it():
    env = RandomisedModel(Sledge(), draw_mass)
    states = [jax.vmap(env.reset)(raw_keys())]
    for _ in range(STEPS):
        states.append(jax.jit(jax.vmap(env.step))(states[-1], jnp.ones((NUM_ENVS, 1))))
    places = jnp.stack([state.data[:, 0] for state in states])
    masses, _ = draw_mass(env.mjx_model, states[0].info[MODEL_KEY])
    moved = jnp.diff(places, axis=0)
    np.testing.assert_allclose(moved, jnp.tile(1 / masses["mass"], (STEPS, 1)), rtol=1e-5)
    assert len(set(masses["mass"].tolist())) == NUM_ENVS
    assert ((places[0] > masses["mass"]) & (places[0] < masses["mass"] + 1)).all()  # reset's too


def test_the_environment_has_its_own_model_again_after_a_trace():
    sledge = Sledge()
    before = sledge.mjx_model
    env = RandomisedModel(sledge, draw_mass)
    jax.vmap(env.reset)(raw_keys())
    assert sledge.mjx_model is before


def test_a_randomised_environment_keeps_the_contract():
    adapted = envs.adapt(RandomisedModel(Sledge(), draw_mass))
    assert envs.check(adapted) == []
    assert adapted.spec.name == "Sledge" and adapted.spec.max_steps == 12


def test_randomisation_is_off_by_default_and_told_where_there_is_none():
    pytest.importorskip("mujoco_playground", reason=NO_PLAYGROUND)
    assert envs.options_of("playground:Go1JoystickFlatTerrain")["randomise"].default is False
    with pytest.raises(ValueError, match="randomise=True: Playground has no randomiser of Cart"):
        envs.make("playground:CartpoleBalance", randomise=True)


@pytest.fixture(scope="module", params=ROBOTS)
def robot(request):
    """-> a robot's environment, and its randomiser."""
    registry = pytest.importorskip("mujoco_playground", reason=NO_PLAYGROUND).registry
    if not import_module("mujoco_playground._src.mjx_env").MENAGERIE_PATH.exists():
        pytest.skip("the robots of MuJoCo Menagerie are not here")
    env = registry.load(request.param, config_overrides={"impl": "jax"})
    return env, registry.get_domain_randomizer(request.param)


@pytest.mark.heavy
def test_a_robot_is_given_every_field_that_its_randomiser_draws(robot, monkeypatch):
    env, draw = robot
    zero = jnp.zeros(())
    monkeypatch.setattr(env, "reset", lambda rng: State(env.mjx_model, zero, zero, zero, {}))
    state = RandomisedModel(env, draw).reset(raw_keys()[0])
    drawn, axes = draw(env.mjx_model, state.info[MODEL_KEY][None])
    given = {name for name in FIELDS if getattr(axes, name) == 0}
    assert len(given) >= 5
    for name in FIELDS:
        own, new = getattr(env.mjx_model, name), getattr(state.data, name)
        expected = getattr(drawn, name)[0] if name in given else own
        np.testing.assert_array_equal(new, expected)
        assert np.array_equal(new, own) == (name not in given)


@pytest.fixture(scope="module")
def played(robot):
    """Play a robot of Playground with random actions, by ours and by Playground's own wrapper with
    the same models. -> the states of both, and ours after one step with models of other keys."""
    env, draw = robot
    playground = import_module("mujoco_playground")
    reset_keys, model_keys = jnp.moveaxis(jax.vmap(jax.random.split)(raw_keys()), 1, 0)
    ours = RandomisedModel(env, draw)
    theirs = playground.wrapper.BraxDomainRandomizationVmapWrapper(
        env, partial(draw, rng=model_keys)
    )
    steps = jax.jit(jax.vmap(ours.step)), jax.jit(theirs.step)
    state, expected = jax.jit(jax.vmap(ours.reset))(raw_keys()), jax.jit(theirs.reset)(reset_keys)
    other = {**state.info, MODEL_KEY: jnp.flip(state.info[MODEL_KEY], axis=0)}
    others = steps[0](state.replace(info=other), jnp.zeros((NUM_ENVS, env.action_size)))
    same = steps[0](state, jnp.zeros((NUM_ENVS, env.action_size)))
    pairs = [(state, expected)]
    for key in jax.random.split(jax.random.key(5), STEPS):
        action = jax.random.uniform(key, (NUM_ENVS, env.action_size), minval=-1.0, maxval=1.0)
        pairs.append(tuple(step(one, action) for step, one in zip(steps, pairs[-1], strict=True)))
    return pairs, same, others


@pytest.mark.slow
def test_a_robot_moves_as_with_playgrounds_own_wrapper(played):
    pairs, _, _ = played
    for state, expected in pairs:
        np.testing.assert_allclose(state.data.qpos, expected.data.qpos, atol=1e-4)
        for key in ("state", "privileged_state"):
            np.testing.assert_allclose(state.obs[key], expected.obs[key], rtol=1e-2, atol=1e-2)
        np.testing.assert_allclose(state.reward, expected.reward, atol=1e-4)


@pytest.mark.slow
def test_a_robot_moves_otherwise_with_another_model(played):
    _, same, others = played
    assert np.abs(same.data.qvel - others.data.qvel)[[0, -1]].max(axis=1).min() > 1e-3
    np.testing.assert_array_equal(same.data.qpos[1], others.data.qpos[1])  # its key is its own
