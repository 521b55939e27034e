"""Playground's domain randomisation: a model for each initial state, which the episode keeps."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.foreign.randomised_model import MODEL_KEY, RandomisedModel

playground = pytest.importorskip("mujoco_playground", reason="the extra is not installed")
pytestmark = pytest.mark.heavy

STEPS = 5
PUSH = jnp.ones(1)


def draw_masses(model, rng):
    """Scale all masses, in the form of Playground's own randomisers."""
    factors = jax.vmap(lambda key: jax.random.uniform(key, minval=0.5, maxval=2.0))(rng)
    axes = jax.tree.map(lambda x: None, model).tree_replace({"body_mass": 0})
    return model.tree_replace({"body_mass": model.body_mass * factors[:, None]}), axes


@pytest.fixture(scope="module")
def played():
    """Push the cart for STEPS with the models of 3 keys. -> positions of each, with its masses,
    and those of the environment whose model is given these masses."""
    env = playground.registry.load("CartpoleBalance", config_overrides={"impl": "jax"})
    ours, model = RandomisedModel(env, draw_masses), env.mjx_model
    found = []
    for seed in range(3):
        start = state = jax.jit(ours.reset)(jax.random.key_data(jax.random.key(seed)))
        for _ in range(STEPS):
            state = jax.jit(ours.step)(state, PUSH)
        drawn, _ = draw_masses(model, start.info[MODEL_KEY][None])
        env._mjx_model = model.tree_replace({"body_mass": drawn.body_mass[0]})
        theirs = start
        edited = jax.jit(lambda state: env.step(state, PUSH))
        for _ in range(STEPS):
            theirs = edited(theirs)
        env._mjx_model = model
        found.append((start.data.qpos, drawn.body_mass[0], state.data.qpos, theirs.data.qpos))
    names = ("start", "mass", "ours", "theirs")
    return [SimpleNamespace(**dict(zip(names, one, strict=True))) for one in found]


def test_steps_are_those_of_the_environment_with_the_drawn_model(played):
    for one in played:
        assert np.abs(one.ours - one.start).max() > 1e-3  # it moved
        np.testing.assert_allclose(one.ours, one.theirs, atol=1e-6)


def test_initial_states_have_models_of_their_own(played):
    assert len({float(one.mass[1]) for one in played}) == 3


def test_a_randomised_environment_keeps_the_contract():
    env = playground.registry.load("CartpoleBalance", config_overrides={"impl": "jax"})
    adapted = envs.adapt(RandomisedModel(env, draw_masses), max_steps=40)
    assert envs.check(adapted) == []
    assert adapted.spec.name == type(env).__name__


def test_an_environment_without_a_randomiser_says_so():
    with pytest.raises(ValueError, match="randomise=True: Playground has no randomiser of Cart"):
        envs.make("playground:CartpoleBalance", randomise=True)
