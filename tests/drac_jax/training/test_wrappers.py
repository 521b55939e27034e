"""What a training config puts around an algorithm: statistics, and that learning needs them."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from drac_jax.algorithms import S2acHParams, Td3HParams, make_td3
from drac_jax.networks import optim
from drac_jax.networks.critics import twin_critic
from drac_jax.training.loop import TrainState, make_train
from drac_jax.training.replay import TERMINATED
from drac_jax.training.schedule import TrainConfig, make_schedule
from drac_jax.training.wrappers import normalization, step_size
from drac_jax.training.wrappers.wrapping import wrapped
from drac_jax.types import Algorithm, ClippedState, Transition
from envs import batch
from tests.support.toys import aiming, countdown, obedient, transition

HIDDEN = (16, 16)
CRITIC = twin_critic(HIDDEN)
CONFIG = TrainConfig(env_steps=90, num_envs=3, batch_size=6, learning_starts=6, epochs=2)


@struct.dataclass
class Plain:
    """The hyperparameters of `acting`."""

    gamma: float = 0.9


class Holder(NamedTuple):
    """An agent of nothing but hyperparameters."""

    hparams: Any


def acting(*actions: float) -> Algorithm:
    """Make an algorithm that learns nothing: environment i does the i-th of the actions."""

    def act(agent: Any, obs: jax.Array, key: jax.Array | None = None) -> jax.Array:
        return jnp.broadcast_to(jnp.array(actions)[:, None], (len(obs), 1))

    return Algorithm(lambda key, hparams, size: Holder(hparams), act, act, lambda a, *_: (a, {}))


def trained(env: Any, algorithm: Algorithm, config: TrainConfig, hparams: Any) -> TrainState:
    return jax.jit(make_train(env, algorithm, config).run)(jax.random.key(0), hparams)[0]


def test_a_config_that_asks_for_nothing_leaves_the_algorithm_itself():
    algorithm = make_td3(1, HIDDEN, critic=CRITIC)
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
    plain = make_td3(1, HIDDEN, critic=CRITIC)
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


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return():
    """Of the returns of all episodes up to each env step, which start again at an end."""
    config = replace(CONFIG, normalize_reward=True, reward_scale=2.0)
    state = trained(batch(countdown(4)), acting(0.0, 0.0, 0.0), config, Plain())
    _, _, reward, mark, _ = np.asarray(state.replay.data).transpose(2, 0, 1)
    running, returns = np.zeros(3), []
    for at, ended in zip(reward, mark == TERMINATED, strict=True):
        running = 0.9 * running + at
        returns.append(running)
        running = np.where(ended, 0.0, running)
    moments = state.agent.moments
    assert float(moments.weight) == config.env_steps
    np.testing.assert_allclose(moments.mean, np.mean(returns), rtol=1e-5)
    np.testing.assert_allclose(moments.var, np.var(returns), rtol=1e-5)
    np.testing.assert_allclose(state.agent.returns, running, rtol=1e-5)
    # What an update is given of them: here, one that hands its rewards back.
    reporting = acting(0.0)._replace(update=lambda agent, batch, key: (agent, batch.reward))
    given = transition(1.0)._replace(reward=jnp.array([1.0, -2.0, 3.0, 100.0]))
    _, seen = wrapped(reporting, config).update(state.agent, given, jax.random.key(0))
    deviation = np.std(returns)
    np.testing.assert_allclose(seen[:3], 2.0 * np.array([1.0, -2.0, 3.0]) / deviation, rtol=1e-5)
    assert float(seen[3]) == 20.0  # of the clipped 10


def test_a_return_that_broke_starts_again_and_is_not_counted():
    config = replace(CONFIG, normalize_reward=True)
    state = trained(batch(obedient(5)), acting(1.0, 0.0, 1.0), config, Plain())
    assert float(state.agent.moments.weight) == config.env_steps / 3
    assert state.agent.returns[0] == state.agent.returns[2] == 0.0


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
def test_learning_rate_factor_is_that_of_its_formula(kind):
    factor = step_size.make_factor(kind, updates=120, warmup=20, final=0.1)
    for count in (0, 5, 19, 20, 45, 70, 119, 120, 500):
        t = min(max(count - 20, 0) / 100, 1.0)
        shape = {"constant": 1.0, "linear": 1.0 - t, "cosine": 0.5 * (1.0 + math.cos(math.pi * t))}
        wanted = 1.0 if kind == "constant" else 0.1 + 0.9 * shape[kind]
        wanted = count / 20 if count < 20 else wanted
        np.testing.assert_allclose(factor(jnp.int32(count)), wanted, atol=1e-6)


def test_a_schedule_is_optaxs():
    ours = step_size.make_factor("cosine", updates=120, warmup=20)
    theirs = optax.warmup_cosine_decay_schedule(0.0, 1.0, 20, 120)
    for count in range(0, 130, 7):
        np.testing.assert_allclose(ours(jnp.int32(count)), theirs(count), atol=1e-6)


def test_a_warmup_beyond_the_budget_is_refused():
    said = "lr_warmup=84 must be below 84, the updates of the budget; use lr_warmup=8"
    with pytest.raises(ValueError, match=said):
        wrapped(make_td3(1, HIDDEN, critic=CRITIC), replace(CONFIG, env_steps=258, lr_warmup=84))


def test_scheduled_updates_are_those_at_the_learning_rates_of_their_time():
    """The hyperparameters, which a sweep varies, stay as they were given; so does `svgd_lr`."""

    def update(agent: Any, minibatches: Transition, key: jax.Array) -> tuple:
        hparams = agent.hparams
        return agent, {name: getattr(hparams, name) for name in ("actor_lr", "svgd_lr", "gamma")}

    plain = Algorithm(lambda key, hparams, size: Holder(hparams), None, None, update, 2)
    config = replace(CONFIG, env_steps=166, updates_per_iteration=2, lr_schedule="linear")
    schedule = make_schedule(config)
    updates = schedule.updates(config, config.epochs)
    algorithm = wrapped(plain, config)
    agent = algorithm.init(jax.random.key(0), S2acHParams(actor_lr=0.5), 1)
    for call in range(3):
        agent, metrics = algorithm.update(agent, None, None)
        left = 1.0 - 2 * call / updates
        np.testing.assert_allclose(metrics["actor_lr"], 0.5 * left, rtol=1e-6)
        np.testing.assert_allclose(metrics["schedule/lr_factor"], left, rtol=1e-6)
        assert metrics["svgd_lr"] == S2acHParams().svgd_lr
        assert agent.hparams.actor_lr == 0.5
    assert int(agent.updates) == 6


@pytest.mark.parametrize("max_norm", [0.1, 100.0])
def test_clipped_steps_are_those_of_optax(max_norm):
    params = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([[3.0], [-1.0]])}
    optimizer = optax.chain(optax.clip_by_global_norm(max_norm), optax.adam(0.1))
    state, theirs = optimizer.init(params), params
    ours = optim.init(params)
    ours = ours._replace(opt_state=ClippedState(jnp.float32(max_norm), ours.opt_state))
    for i in range(3):
        grads = jax.tree.map(lambda x, i=i: x * (i - 1.5), params)
        updates, state = optimizer.update(grads, state)
        theirs = optax.apply_updates(theirs, updates)
        ours = optim.adam(ours, grads, 0.1)
        chex.assert_trees_all_close(ours.params, theirs, rtol=1e-6)


def test_gradients_of_actor_and_critics_are_clipped_each_by_its_own_norm():
    algorithm = wrapped(make_td3(1, HIDDEN, critic=CRITIC), replace(CONFIG, max_grad_norm=1e-3))
    agent = algorithm.init(jax.random.key(0), Td3HParams(), 1)
    one = transition(1.0)._replace(obs=jnp.ones((4, 1)), action=jnp.zeros((4, 1)))
    minibatches = jax.tree.map(lambda x: jnp.stack([x, x]), one._replace(next_obs=one.obs))
    after, _ = jax.jit(algorithm.update)(agent, minibatches, jax.random.key(1))
    # Adam's first moment after one step is a tenth of the gradient; after two, 0.19 of it at most.
    for trained, share in ((after.actor, 0.1), (after.critic, 0.19)):
        moment = optax.tree.norm(trained.opt_state.inner[0].mu)
        np.testing.assert_allclose(moment, share * 1e-3, rtol=0.02)


@pytest.mark.slow
def test_observations_a_thousand_times_as_large_are_learnt_from_only_if_normalised():
    config = replace(CONFIG, env_steps=2400, num_envs=4, updates_per_iteration=4, batch_size=32)
    hparams, returns = Td3HParams(actor_lr=3e-3, critic_lr=3e-3), {}
    for normalize_obs in (False, True):
        train = make_train(
            batch(aiming(1000.0)),
            make_td3(1, HIDDEN, critic=CRITIC),
            replace(config, normalize_obs=normalize_obs, epochs=4),
        )
        keys = jax.random.split(jax.random.key(0), 3)
        _, metrics = jax.jit(jax.vmap(train.run, (0, None)))(keys, hparams)
        returns[normalize_obs] = np.median(metrics["train/return"][:, -1])
    # A policy that always does 0 has -6.7; exploration noise alone costs 0.2.
    assert returns[True] > -1.0
    assert returns[False] < -2.0
