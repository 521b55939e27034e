"""Action repeat: the sum of the rewards, and an episode that ends in between stays as it ended."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from drac_jax.types import EnvSpec
from envs.locomotion.task import make_locomotion
from tests.support import toys


def counting(ends_at: int) -> envs.Task:
    """Count steps, which is the obs and the reward; a goal is entered in steps 2 and 3."""

    def step(count: jax.Array, action: jax.Array) -> envs.TaskStep:
        count = count + 1.0
        goal = jnp.where(count == 2.0, 7, jnp.where(count == 3.0, 5, 0))
        return envs.TaskStep(count, count[None], count, terminated=count == ends_at, goal=goal)

    start = envs.TaskStep(jnp.zeros(()), jnp.zeros(1))
    return envs.Task(EnvSpec("counting", 1, 1, 9), lambda key: start, step)


def test_rewards_are_summed_and_the_first_goal_is_the_goal():
    out = envs.repeat(counting(100), 4).step(jnp.zeros(()), jnp.zeros(1))
    assert (float(out.sim), float(out.reward)) == (4.0, 1.0 + 2.0 + 3.0 + 4.0)
    assert int(out.goal) == 7 and not out.terminated


@pytest.mark.parametrize("ends_at", [1, 2, 4])
def test_it_stops_where_the_episode_ends(ends_at):
    out = envs.repeat(counting(ends_at), 4).step(jnp.zeros(()), jnp.zeros(1))
    assert float(out.sim) == float(out.obs[0]) == ends_at
    assert float(out.reward) == ends_at * (ends_at + 1) / 2 and bool(out.terminated)


def test_time_limits_count_env_steps_of_the_repeated_task():
    env = envs.batch(envs.repeat(counting(100), 3))
    state, lengths = env.reset(jax.random.split(jax.random.key(0), 2)), []
    step = jax.jit(env.step)
    for _ in range(9):
        state = step(state, jnp.zeros((2, 1)))
        lengths.append(bool(state.info["truncation"][0]))
    assert lengths == [False] * 8 + [True]
    assert float(state.info["terminal_obs"][0, 0]) == 27.0


def test_once_is_the_task_itself():
    task = toys.countdown()
    assert envs.repeat(task, 1) is task


def test_no_repeats_are_refused():
    with pytest.raises(ValueError, match="action_repeat=0 must be at least 1; use 1"):
        envs.make("hopper", impl="c", action_repeat=0)


def test_a_robot_repeats_its_actions_bit_for_bit():
    once, thrice = (make_locomotion("hopper", impl="c", action_repeat=n) for n in (1, 3))
    sim = once.reset(jax.random.key(0)).sim
    action = jnp.full(3, 0.3)
    out = jax.jit(thrice.step)(sim, action)
    step, rewards = jax.jit(once.step), []
    for _ in range(3):
        last = step(sim, action)
        sim = last.sim
        rewards.append(last.reward)
    np.testing.assert_array_equal(out.obs, last.obs)
    assert float(out.reward) == pytest.approx(float(sum(rewards)), rel=1e-6)
    assert thrice.visual.dt == pytest.approx(3 * once.visual.dt)


def test_repeats_keep_the_draw_of_the_episode():
    env = envs.make("hopper", impl="c", action_repeat=4, randomise={"gravity": (0.5, 1.5)})
    state = jax.jit(env.reset)(jax.random.split(jax.random.key(0), 20))
    step, met = jax.jit(env.step), []
    for _ in range(30):
        before = state.internal.sim.factors
        state = step(state, jnp.ones((20, 3)))
        same = (state.internal.sim.factors == before).all(axis=1)
        np.testing.assert_array_equal(same, ~state.done)
        met.append(state.done)
    assert jnp.stack(met).any()


def test_adapted_environments_repeat_too():
    env = envs.adapt(counting(100), action_repeat=3)
    after = env.step(env.reset(jax.random.split(jax.random.key(0), 2)), jnp.zeros((2, 1)))
    np.testing.assert_array_equal(after.reward, [6.0, 6.0])
    with pytest.raises(ValueError, match="action_repeat=2 needs a Task"):
        envs.adapt(env, action_repeat=2)
