import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.training.evaluate import make_evaluate
from drac_jax.types import EnvSpec
from envs import Task, TaskStep, batch
from tests.support.toys import countdown, obedient

EPISODES = 40


def idle(agent, obs: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.zeros((obs.shape[0], 1))


@pytest.fixture(scope="module")
def episodes():
    """Episodes whose length is drawn at the start, long and short mixed."""
    env = batch(countdown(5))
    evaluate = make_evaluate(env, idle, EPISODES, record_paths=True, record=lambda s: s.obs)
    return jax.device_get(jax.jit(evaluate)(None, jax.random.key(0)))


def test_each_environment_counts_exactly_its_first_episode(episodes):
    # By the last step the short episodes' environments have played others.
    first_obs = episodes.paths[:, 0, 0]
    assert set(first_obs) == {1.0, 2.0, 3.0, 4.0, 5.0}
    np.testing.assert_array_equal(episodes.lengths, first_obs)


def test_return_is_the_sum_of_the_first_episodes_rewards(episodes):
    n = episodes.lengths
    np.testing.assert_allclose(episodes.returns, n * (n + 1) / 2)
    assert not episodes.broken.any()
    assert not episodes.goals.any()


def test_paths_repeat_the_last_observation(episodes):
    steps = np.arange(episodes.paths.shape[1])
    expected = np.maximum(episodes.lengths[:, None] - steps, 0)
    np.testing.assert_array_equal(episodes.paths[:, :, 0], expected)


def test_records_are_of_the_states_acted_upon(episodes):
    steps = np.arange(episodes.records.shape[1])
    left = episodes.lengths[:, None] - steps
    assert episodes.records.shape == (EPISODES, countdown(5).spec.max_steps, 1)
    np.testing.assert_array_equal(episodes.records[:, :, 0][left > 0], left[left > 0])


def test_paths_and_records_are_left_out_unless_asked_for():
    evaluate = make_evaluate(batch(countdown(2)), idle, 3)
    episodes = jax.eval_shape(evaluate, None, jax.random.key(0))
    assert episodes.paths.shape == (3, 0, 1)
    assert episodes.records is None


def test_episode_that_never_ends_is_cut_at_the_time_limit():
    evaluate = make_evaluate(batch(obedient(4), pool_size=1), idle, 3)
    episodes = jax.jit(evaluate)(None, jax.random.key(0))
    np.testing.assert_array_equal(episodes.lengths, 4)
    np.testing.assert_array_equal(episodes.returns, 10.0 + 20.0 + 30.0 + 40.0)


def test_broken_episode_is_told_apart():
    def breaking(agent, obs: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.where(obs >= 2.0, 1.0, 0.0)

    evaluate = make_evaluate(batch(obedient(9), pool_size=1), breaking, 3)
    episodes = jax.jit(evaluate)(None, jax.random.key(0))
    assert episodes.broken.all()
    np.testing.assert_array_equal(episodes.lengths, 3)
    np.testing.assert_array_equal(episodes.returns, 10.0 + 20.0)


def test_goal_of_an_episode_is_the_one_entered_when_it_ended():
    def step(count: jax.Array, action: jax.Array) -> TaskStep:
        count = count + 1.0
        arrived = count >= 3.0
        return TaskStep(count, count[None], terminated=arrived, goal=jnp.where(arrived, 2, 0))

    start = TaskStep(jnp.zeros(()), jnp.zeros(1))
    task = Task(EnvSpec("goal", 1, 1, 8, num_goals=2), lambda key: start, step)
    episodes = jax.jit(make_evaluate(batch(task, 1), idle, 4))(None, jax.random.key(0))
    np.testing.assert_array_equal(episodes.goals, 2)
    np.testing.assert_array_equal(episodes.lengths, 3)
