import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.networks import critics
from tests.support import toys

CRITIC = critics.twin_critic((16, 16))


@pytest.fixture(scope="module")
def params():
    return CRITIC.init(jax.random.key(0), 3, 2)


def test_target_ignores_the_next_value_on_termination():
    target = critics.td_target(toys.transition(0.0), 0.9, jnp.full(4, 100.0))
    np.testing.assert_array_equal(target, np.arange(4.0))


def test_target_bootstraps_where_the_episode_was_only_cut():
    target = critics.td_target(toys.transition(1.0), 0.9, jnp.full(4, 100.0))
    np.testing.assert_allclose(target, np.arange(4.0) + 90.0)


def test_loss_is_the_sum_of_both_mean_squared_errors(params):
    batch, target = toys.transition(1.0), jnp.arange(4.0)
    loss, q = critics.td_loss(params, CRITIC, batch, target)
    errors = np.asarray(q) - np.arange(4.0)[:, None]
    np.testing.assert_allclose(loss, np.square(errors).mean(axis=0).sum(), rtol=1e-6)


@pytest.mark.parametrize("tau", [0.0, 0.005, 1.0])
def test_polyak_moves_by_the_fraction_tau(tau):
    slow, fast = {"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([3.0, -2.0])}
    moved = critics.polyak(slow, fast, tau)["w"]
    np.testing.assert_allclose(moved, [1.0 + 2.0 * tau, 2.0 - 4.0 * tau], rtol=1e-6)


def test_twins_start_apart_and_stay_independent(params):
    obs, action = jnp.ones((5, 3)), jnp.ones((5, 2))
    before = CRITIC.apply(params, obs, action)
    first_moved = jax.tree.map(lambda x: x.at[0].add(0.1), params)
    after = CRITIC.apply(first_moved, obs, action)
    assert (before[:, 0] != before[:, 1]).all()
    assert (before[:, 0] != after[:, 0]).all()
    np.testing.assert_array_equal(before[:, 1], after[:, 1])


def test_action_samples_share_the_observations(params):
    obs = jax.random.normal(jax.random.key(1), (5, 3))
    actions = jax.random.normal(jax.random.key(2), (7, 5, 2))
    q = CRITIC.apply(params, obs, actions)
    assert q.shape == (7, 5, 2)
    np.testing.assert_allclose(q[3], CRITIC.apply(params, obs, actions[3]), rtol=1e-5, atol=1e-6)


def test_score_is_the_gradient_of_the_smaller_q(params):
    obs = jax.random.normal(jax.random.key(1), (5, 3))
    actions = jax.random.normal(jax.random.key(2), (7, 5, 2))
    q, score = critics.score(params, CRITIC, obs, actions)
    single = jax.grad(lambda action: CRITIC.apply(params, obs[1], action).min())
    np.testing.assert_allclose(q, CRITIC.apply(params, obs, actions).min(axis=-1), rtol=1e-6)
    np.testing.assert_allclose(score[4, 1], single(actions[4, 1]), rtol=1e-4, atol=1e-6)


def test_best_action_has_the_highest_smaller_q_of_its_state(params):
    obs = jax.random.normal(jax.random.key(1), (5, 3))
    actions = jax.random.normal(jax.random.key(2), (7, 5, 2))
    best = critics.best_of(params, CRITIC, obs, actions)
    q = CRITIC.apply(params, obs, actions).min(axis=-1)
    np.testing.assert_allclose(
        CRITIC.apply(params, obs, best).min(axis=-1), q.max(axis=0), rtol=1e-5
    )
