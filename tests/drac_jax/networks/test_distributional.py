import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.networks import distributional, optim
from drac_jax.networks.distributional import Heads, Target
from tests.support import toys

CRITIC = distributional.distributional_twin((16, 16))


@pytest.fixture(scope="module")
def params():
    return CRITIC.init(jax.random.key(0), 3, 2)


def test_standard_deviations_are_positive_and_action_samples_share_observations(params):
    obs = jax.random.normal(jax.random.key(1), (5, 3))
    actions = jax.random.normal(jax.random.key(2), (7, 5, 2))
    heads = CRITIC.apply(params, obs, actions)
    assert heads.mean.shape == heads.std.shape == (7, 5, 2)
    assert (heads.std > 0.0).all()
    alone = CRITIC.apply(params, obs, actions[3])
    np.testing.assert_allclose(heads.mean[3], alone.mean, rtol=1e-5, atol=1e-6)


def test_both_targets_come_from_the_critic_of_the_smaller_mean():
    heads = Heads(jnp.array([[1.0, 2.0], [4.0, 3.0]] * 2), jnp.array([[0.1, 9.0], [9.0, 0.2]] * 2))
    noise = jnp.array([[1.0, 50.0], [50.0, -7.0]] * 2)
    target = distributional.td_target(toys.transition(1.0), 0.5, heads, noise)
    np.testing.assert_allclose(target.mean, np.arange(4.0) + 0.5 * np.array([1.0, 3.0] * 2))
    # The noise of -7 is cut to -3.
    sampled = np.array([1.0 + 0.1, 3.0 - 3.0 * 0.2] * 2)
    np.testing.assert_allclose(target.sample, np.arange(4.0) + 0.5 * sampled, rtol=1e-6)


def test_targets_ignore_the_next_values_on_termination():
    heads = Heads(jnp.full((4, 2), 100.0), jnp.ones((4, 2)))
    target = distributional.td_target(toys.transition(0.0), 0.9, heads, jnp.ones((4, 2)))
    np.testing.assert_array_equal(target.mean, np.arange(4.0))
    np.testing.assert_array_equal(target.sample, np.arange(4.0))


def test_running_std_starts_at_the_first_batch_and_then_follows():
    std = jnp.array([[1.0, 2.0], [3.0, 6.0]])
    first = distributional.follow(jnp.zeros(2), std, 0.1)
    np.testing.assert_allclose(first, [2.0, 4.0])
    np.testing.assert_allclose(distributional.follow(first, 2.0 * std, 0.1), [2.2, 4.4], rtol=1e-6)


def test_a_far_sample_pulls_the_std_no_more_than_one_at_the_limit(params):
    batch, running = toys.transition(1.0), jnp.ones(2)
    mean = CRITIC.apply(params, batch.obs, batch.action).mean.min(axis=1)
    grad = jax.grad(distributional.td_loss, has_aux=True)
    far, farther = (
        grad(params, CRITIC, batch, Target(mean, mean + error), running, 0.0)[0]
        for error in (100.0, 1000.0)
    )
    jax.tree.map(np.testing.assert_array_equal, far, farther)


def test_mean_and_std_of_a_random_return_are_found():
    batch = toys.transition(0.0)._replace(obs=jnp.zeros((4, 3)))
    keys = jax.random.split(jax.random.key(3), 3000)

    def step(carry: tuple, key: jax.Array) -> tuple[tuple, None]:
        sample = 2.0 + 0.5 * jax.random.normal(key, (4,))
        target = Target(jnp.full(4, 2.0), sample)
        critic, running, *_ = distributional.regress(
            carry[0], CRITIC, batch, target, carry[1], 0.01, 3e-3
        )
        return (critic, running), None

    start = optim.init(CRITIC.init(jax.random.key(4), 3, 2)), jnp.zeros(2)
    (critic, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, keys))(start)
    heads = CRITIC.apply(critic.params, batch.obs, batch.action)
    np.testing.assert_allclose(heads.mean, 2.0, atol=0.05)
    np.testing.assert_allclose(heads.std, 0.5, atol=0.1)
