"""What a training config puts around an algorithm: statistics, and that learning needs them."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from drac_jax.algorithms import Td3HParams, make_td3
from drac_jax.training.loop import TrainState, make_train
from drac_jax.training.schedule import TrainConfig
from drac_jax.training.wrappers import normalization
from drac_jax.training.wrappers.wrapping import wrapped
from drac_jax.types import Algorithm
from envs import batch
from tests.support.toys import aiming, countdown, obedient

HIDDEN = (16, 16)
CONFIG = TrainConfig(env_steps=90, num_envs=3, batch_size=6, learning_starts=6, epochs=2)


@struct.dataclass
class Plain:
    """The hyperparameters of `acting`."""

    gamma: float = 0.9


def acting(*actions: float) -> Algorithm:
    """Make an algorithm that learns nothing: environment i does the i-th of the actions."""

    def act(agent: Any, obs: jax.Array, key: jax.Array | None = None) -> jax.Array:
        return jnp.broadcast_to(jnp.array(actions)[:, None], (len(obs), 1))

    return Algorithm(lambda key, hparams, obs_size: hparams, act, act, lambda a, *_: (a, {}))


def trained(env: Any, algorithm: Algorithm, config: TrainConfig, hparams: Any) -> TrainState:
    return jax.jit(make_train(env, algorithm, config).run)(jax.random.key(0), hparams)[0]


def test_a_config_that_asks_for_nothing_leaves_the_algorithm_itself():
    algorithm = make_td3(1, HIDDEN)
    assert wrapped(algorithm, CONFIG) is algorithm


def test_moments_of_valid_values_are_numpys():
    draw = np.random.default_rng(0)
    values = draw.normal(50.0, [3.0, 0.1], (40, 5, 2)).astype(np.float32)
    valid = draw.random((40, 5)) < 0.7
    valid[3] = False
    moments = normalization.no_moments((2,))
    for at, ok in zip(values, valid, strict=True):
        moments = normalization.merge(moments, jnp.where(ok[:, None], at, jnp.nan), jnp.array(ok))
    assert float(moments.weight) == valid.sum()
    np.testing.assert_allclose(moments.mean, values[valid].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(moments.var, values[valid].var(axis=0), rtol=1e-3)


def test_statistics_are_of_all_observations_acted_upon():
    config = replace(CONFIG, normalize_obs=True)
    state = trained(batch(countdown(4)), acting(0.0, 0.0, 0.0), config, Plain())
    obs = np.asarray(state.replay.data)[:, :, :1]
    moments = state.agent.obs
    assert float(moments.weight) == config.env_steps == obs.size
    np.testing.assert_allclose(moments.mean, obs.mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(moments.var, obs.var(axis=(0, 1)), rtol=1e-5)


def test_environments_that_broke_enter_no_statistics():
    config = replace(CONFIG, normalize_obs=True)
    state = trained(batch(obedient(5)), acting(1.0, 0.0, 1.0), config, Plain())
    moments = state.agent.obs
    assert float(moments.weight) == config.env_steps / 3  # of the one that never breaks
    np.testing.assert_allclose(moments.mean, [2.0], rtol=1e-5)  # of 0, 1, 2, 3, 4


def test_the_policy_and_its_updates_see_standardised_observations():
    config = replace(CONFIG, normalize_obs=True)
    plain = make_td3(1, HIDDEN)
    algorithm = wrapped(plain, config)
    agent = algorithm.init(jax.random.key(0), Td3HParams(), 2)
    moments = normalization.Moments(jnp.ones(()), jnp.array([5.0, -1.0]), jnp.array([4.0, 0.25]))
    agent = agent._replace(obs=moments)
    obs, key = jnp.array([[7.0, -1.5], [500.0, -1.0]]), jax.random.key(1)
    seen = jnp.array([[1.0, -1.0], [10.0, 0.0]])
    for ours, its in (
        (algorithm.act(agent, obs, key), plain.act(agent.agent, seen, key)),
        (algorithm.mode(agent, obs), plain.mode(agent.agent, seen)),
    ):
        np.testing.assert_allclose(ours, its, rtol=1e-5)


@pytest.mark.slow
def test_observations_a_thousand_times_as_large_are_learnt_from_only_if_normalised():
    config = replace(CONFIG, env_steps=2400, num_envs=4, updates_per_iteration=4, batch_size=32)
    hparams, returns = Td3HParams(actor_lr=3e-3, critic_lr=3e-3), {}
    for normalize_obs in (False, True):
        train = make_train(
            batch(aiming(1000.0)),
            make_td3(1, HIDDEN),
            replace(config, normalize_obs=normalize_obs, epochs=4),
        )
        keys = jax.random.split(jax.random.key(0), 3)
        _, metrics = jax.jit(jax.vmap(train.run, (0, None)))(keys, hparams)
        returns[normalize_obs] = np.median(metrics["train/return"][:, -1])
    # A policy that always does 0 has -6.7; exploration noise alone costs 0.2.
    assert returns[True] > -1.0
    assert returns[False] < -2.0
