from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drac_jax.actors import amortized
from drac_jax.algorithms import DracHParams, make_drac
from drac_jax.diversity.distance import all_pairs
from drac_jax.networks.critics import twin_critic
from drac_jax.training import replay as ring
from drac_jax.training import sweep
from drac_jax.training.loop import Train, make_train
from drac_jax.training.schedule import TrainConfig, check, make_schedule, replay_rows
from drac_jax.types import Algorithm
from envs import batch
from tests.support.tolerances import a_rounding_off, assert_within, error_of, leaves_of
from tests.support.toys import countdown, two_armed_bandit

HIDDEN = (16, 16)
CRITIC = twin_critic(HIDDEN)
# 27 iterations of 3: 5 before learning (4 for the batch of 10, 1 left over), then 2 epochs of 11.
CONFIG = TrainConfig(
    env_steps=81,
    num_envs=3,
    updates_per_iteration=2,
    batch_size=10,
    replay_capacity=40,
    learning_starts=1,
    epochs=2,
)
PREFILL, PER_EPOCH = 5, 11
SEEDS, BETAS = (3, 2), (0.1, 0.4)  # rounding grows least in seed 2: of 24, 4e-5 in an epoch


class Runs(NamedTuple):
    """The same run in all its forms."""

    train: Train
    started: Any
    epochs: list[tuple[Any, dict]]
    traces: dict[str, int]
    growth: float  # error of a first epoch that starts a rounding off


@pytest.fixture(scope="module")
def runs() -> Runs:
    algorithm = make_drac(amortized(1, 4, HIDDEN), all_pairs(4), CRITIC)
    train = make_train(batch(countdown(3)), algorithm, CONFIG)
    members = one_member(BETAS[1], SEEDS[1])
    init, epoch = jax.jit(train.init), jax.jit(train.epoch)
    started = init(*members)
    first = epoch(started)
    second = epoch(first[0])
    starts = [started._replace(agent=a_rounding_off(started.agent, n)) for n in range(4)]
    growth = max(error_of(epoch(start), first) for start in starts)
    init(*one_member(BETAS[0], SEEDS[0]))
    traces = {"init": init._cache_size(), "epoch": epoch._cache_size()}
    return Runs(train, started, [first, second], traces, growth)


def one_member(beta: float, seed: int) -> tuple[jax.Array, DracHParams]:
    """Make key and hparams of a run without a sweep."""
    members = sweep.members(DracHParams(beta=beta), [seed])
    return sweep.keys(members)[0][0], jax.tree.map(lambda x: x[0], members.hparams)


def test_each_function_is_traced_once(runs):
    assert runs.traces == {"init": 1, "epoch": 1}


@pytest.mark.heavy
def test_whole_run_is_its_start_and_its_epochs_bit_for_bit(runs):
    run = jax.jit(runs.train.run)
    run(*one_member(BETAS[0], SEEDS[0]))
    state, metrics = run(*one_member(BETAS[1], SEEDS[1]))
    assert run._cache_size() == 1
    last = runs.epochs[-1][0]
    for a, b in zip(leaves_of(state), leaves_of(last), strict=True):
        np.testing.assert_array_equal(a, b)
    for name, values in metrics.items():
        np.testing.assert_array_equal(values, [m[name] for _, m in runs.epochs], err_msg=name)


@pytest.mark.heavy
def test_swept_member_is_as_if_alone(runs):
    members = sweep.members(DracHParams(), SEEDS, {"beta": BETAS})

    def first_epoch(key: jax.Array, hparams: DracHParams) -> tuple[Any, dict]:
        return runs.train.epoch(runs.train.init(key, hparams))

    swept = jax.jit(jax.vmap(first_epoch))(sweep.keys(members)[0], members.hparams)
    at = members.labels.index({"seed": SEEDS[1], "beta": BETAS[1]})
    one = jax.tree.map(lambda x: x[at], swept)
    assert_within("member of a run", error_of(one, runs.epochs[0]) / runs.growth)


@pytest.mark.heavy
def test_members_of_a_run_are_as_if_alone(runs):
    """Whether an accelerator takes them side by side or a CPU in turn."""
    starts = jax.tree.map(lambda x: jnp.stack([x, x]), runs.started)
    both = jax.jit(sweep.over_members(runs.train.epoch))(starts)
    for member in (0, 1):
        one = jax.tree.map(lambda x, member=member: x[member], both)
        assert_within("member of a run", error_of(one, runs.epochs[0]) / runs.growth)


def test_budget_is_spent_exactly(runs):
    schedule = make_schedule(CONFIG)
    assert schedule == (PREFILL, PER_EPOCH, 2, 1, 1)
    state = runs.epochs[-1][0]
    assert int(state.step) * CONFIG.num_envs == CONFIG.env_steps
    assert schedule.env_steps(CONFIG, 2) == CONFIG.env_steps
    adam_steps = int(state.agent.actor.opt_state[0].count)
    assert adam_steps == schedule.updates(CONFIG, 2) == 2 * PER_EPOCH * 2


def test_learning_starts_with_a_batch_in_the_replay_and_untouched_networks(runs):
    assert int(runs.started.step) == PREFILL
    assert int(runs.started.replay.row) == PREFILL
    assert int(runs.started.agent.actor.opt_state[0].count) == 0
    assert PREFILL * CONFIG.num_envs >= CONFIG.batch_size


def test_ring_holds_whole_rows_within_the_capacity(runs):
    replay = runs.epochs[-1][0].replay
    assert replay_rows(CONFIG) == 13  # 40 // 3
    assert replay.data.shape[:2] == (13, 3)
    assert int(replay.row) == 27
    rewards = ring.sample(replay, jax.random.key(0), (1, 200)).reward
    assert set(np.unique(rewards)) <= {1.0, 2.0, 3.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"store_next_obs": False}, {"n_step": 3}, {"strata": 3, "batch_size": 12}],
    ids=["without next_obs", "n-step", "strata"],
)
def test_other_ways_to_replay_learn(changes):
    algorithm = make_drac(amortized(1, 4, HIDDEN), all_pairs(4), CRITIC)
    train = make_train(batch(countdown(3)), algorithm, replace(CONFIG, epochs=1, **changes))
    state, metrics = jax.jit(train.run)(*one_member(BETAS[1], SEEDS[1]))
    assert all(np.isfinite(leaf).all() for leaf in leaves_of(state.agent))
    assert float(metrics["critic/loss"][0]) > 0.0


def test_episodes_of_one_step_need_next_obs():
    algorithm = make_drac(amortized(1, 4, HIDDEN), all_pairs(4), CRITIC)
    with pytest.raises(ValueError, match="store_next_obs=False needs episodes of two steps"):
        make_train(batch(two_armed_bandit()), algorithm, replace(CONFIG, store_next_obs=False))


def test_ring_is_not_larger_than_the_budget():
    assert replay_rows(replace(CONFIG, replay_capacity=10**9)) == 27


def test_training_episodes_are_reported_as_they_end(runs):
    for _, metrics in runs.epochs:
        assert metrics["train/episodes"] >= PER_EPOCH * CONFIG.num_envs // 3
        assert 1.0 <= metrics["train/episode_length"] <= 3.0
        assert 1.0 <= metrics["train/return"] <= 6.0
        assert metrics["train/broken_envs"] == 0


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    num_envs=st.integers(1, 40),
    steps=st.integers(1, 500),
    epochs=st.integers(1, 30),
    batch_size=st.integers(1, 300),
    learning_starts=st.integers(1, 300),
    steps_per_iteration=st.integers(1, 4),
    slow_period=st.integers(0, 900),
)
def test_schedule_spends_every_budget_that_is_accepted(steps, num_envs, slow_period, **values):
    config = TrainConfig(env_steps=steps * num_envs, num_envs=num_envs, **values)
    try:
        check(config)
    except ValueError:
        return
    schedule = make_schedule(config, slow_period)
    needed = max(config.learning_starts, config.batch_size)
    assert schedule.env_steps(config, config.epochs) == config.env_steps
    assert needed <= schedule.prefill * num_envs
    lost = config.epochs * (config.steps_per_iteration * schedule.segments)
    assert schedule.prefill * num_envs < needed + (lost + 1) * num_envs
    assert schedule.iterations_per_epoch >= 1
    assert schedule.iterations_per_epoch % schedule.segments == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_envs": 0}, "num_envs=0 must be at least 1"),
        ({"epochs": -1}, "epochs=-1 must be at least 1"),
        ({"learning_starts": -1}, "learning_starts=-1 must be at least 1"),
        ({"batch_size": 41}, "batch_size=41 .* use replay_capacity=41 or more"),
        ({"replay_capacity": 11, "num_envs": 12}, "num_envs=12.* use replay_capacity=12 or more"),
        ({"strata": 2}, "num_envs=3 must be a multiple of strata=2; use num_envs=4"),
        ({"strata": 3}, "batch_size=10 must be a multiple of strata=3; use batch_size=12"),
        ({"n_step": 3, "store_next_obs": False}, "n_step=3 needs store_next_obs=True"),
        ({"n_step": 14}, "replay_capacity=40 is below 14 row.* use replay_capacity=42 or more"),
        ({"env_steps": 11}, "env_steps=11 is too little .* use 19"),
    ],
)
def test_config_error_names_field_value_and_fix(changes, said):
    with pytest.raises(ValueError, match=said):
        check(replace(CONFIG, **changes))


def test_obs_of_another_size_than_the_spec_says_is_refused():
    env = batch(countdown(3))
    env = env._replace(spec=env.spec._replace(obs_size=7))
    said = r"reset gives obs \[3, 1\], but num_envs=3 and spec.obs_size=7 mean \[3, 7\]"
    with pytest.raises(ValueError, match=said):
        make_train(env, make_drac(amortized(1, 4, HIDDEN), all_pairs(4), CRITIC), CONFIG)


def test_updates_must_be_whole_calls_of_the_algorithm():
    with pytest.raises(ValueError, match="updates_per_iteration=2 must be a multiple of 4"):
        check(CONFIG, num_minibatches=4)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 50))
def test_budget_that_the_error_proposes_is_accepted(num_envs, epochs, batch_size):
    config = replace(
        CONFIG,
        env_steps=1,
        num_envs=num_envs,
        batch_size=batch_size,
        replay_capacity=1000,
        epochs=epochs,
    )
    with pytest.raises(ValueError, match="use [0-9]+$") as error:
        check(config)
    check(replace(config, env_steps=int(str(error.value).split()[-1])))


@pytest.mark.heavy
def test_held_environments_keep_their_latents():
    """The obs never changes and nothing is learnt in the prefill, so an action tells its latent."""
    config = replace(CONFIG, num_envs=4, held_envs=2, hold_steps=3, batch_size=24, env_steps=40)
    algorithm = make_drac(amortized(1, 4, HIDDEN), all_pairs(4), CRITIC)
    state = make_train(batch(two_armed_bandit()), algorithm, config).init(*one_member(0.4, 0))
    actions = np.asarray(state.replay.data[:6, :, 1])  # [rows, envs]; a row is (obs, action, ...)
    same = actions[1:] == actions[:-1]
    assert same[:, :2].tolist() == [[True] * 2, [True] * 2, [False] * 2, [True] * 2, [True] * 2]
    assert not same[:, 2:].any()


def counting(num_minibatches: int = 1, slow_period: int = 0) -> Algorithm:
    """Make an algorithm that learns nothing but counts its updates and its slow updates."""

    def update(agent, minibatches, key):
        assert minibatches.reward.shape == (num_minibatches, 4)
        return (agent[0] + num_minibatches, agent[1]), {}

    def slow_update(agent, minibatches, key):
        assert minibatches.reward.shape == (1, 4)
        return (agent[0], agent[1] + 1), {"slow/updates_before": agent[0].astype(jnp.float32)}

    def init(key, hparams, obs_size):
        return jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)

    def act(agent, obs, key):
        return jnp.zeros((len(obs), 1))

    return Algorithm(init, act, act, update, num_minibatches, slow_update, slow_period)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("period", "slow_updates", "segments"), [(10, 10, 5), (50, 2, 1), (100, 1, 1), (1000, 0, 1)]
)
def test_slow_updates_come_once_a_period(period, slow_updates, segments):
    config = TrainConfig(
        env_steps=208,
        num_envs=2,
        steps_per_iteration=2,
        updates_per_iteration=2,
        batch_size=4,
        learning_starts=1,
        epochs=2,
    )
    algorithm = counting(2, period)
    train = make_train(batch(countdown(3)), algorithm, config)
    assert make_schedule(config, period).segments == segments
    state, metrics = jax.jit(train.run)(jax.random.key(0), None)
    assert int(state.step) * 2 == 208
    assert [int(x) for x in state.agent] == [100, slow_updates]
    assert metrics["slow/updates_before"].shape == (2,)
