import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.training import replay as ring
from drac_jax.training.rollout import env_step
from envs import batch
from tests.support.toys import obedient

GO_ON, BREAK, END = 0.0, 1.0, -1.0
TIME_LIMIT = 3
ENV = batch(obedient(TIME_LIMIT), pool_size=1)


@pytest.fixture(scope="module")
def play():
    """Play commands [T, E] from the start. -> transitions [T, E, ...] and the replay's rows."""

    @jax.jit
    def run(commands: jax.Array):
        steps, num_envs = commands.shape
        state = ENV.reset(jax.random.split(jax.random.key(0), num_envs))

        def step(carry, actions):
            state, replay = carry
            state, transition = env_step(ENV, state, lambda obs: actions[:, None])
            info = state.info
            replay = ring.add(replay, transition, info["truncation"], info["broken"])
            return (state, replay), (transition, ring.newest(replay), state.info["broken"])

        replay = ring.init(steps, num_envs, 1, 1)
        return jax.lax.scan(step, (state, replay), commands)[1]

    return lambda rows: jax.device_get(run(jnp.array(rows)))


def test_broken_transition_is_replaced_by_the_last_valid_of_its_environment(play):
    seen, stored, broken = play([[GO_ON, GO_ON, GO_ON], [GO_ON, BREAK, BREAK], [GO_ON] * 3])
    np.testing.assert_array_equal(broken[1], [False, True, True])
    for leaf_seen, leaf_stored in zip(seen, stored, strict=True):
        np.testing.assert_array_equal(leaf_stored[[0, 2]], leaf_seen[[0, 2]])
        np.testing.assert_array_equal(leaf_stored[1, 0], leaf_seen[1, 0])
        np.testing.assert_array_equal(leaf_stored[1, 1:], leaf_seen[0, 1:])


def test_broken_first_transition_is_replaced_by_that_of_a_valid_environment(play):
    seen, stored, _ = play([[BREAK, GO_ON, BREAK], [GO_ON] * 3, [GO_ON] * 3])
    for leaf_seen, leaf_stored in zip(seen, stored, strict=True):
        np.testing.assert_array_equal(leaf_stored[0], leaf_seen[0][[1, 1, 1]])


def test_breaking_twice_keeps_the_last_valid_transition(play):
    seen, stored, _ = play([[GO_ON] * 3, [BREAK, GO_ON, GO_ON], [BREAK, GO_ON, GO_ON]])
    np.testing.assert_array_equal(stored.action[2, 0], seen.action[0, 0])
    assert np.isfinite(stored.next_obs).all()


def test_discount_is_zero_on_termination_only(play):
    # Environment 0 goes on to its time limit, 1 terminates, 2 terminates on the limit.
    seen, _, _ = play([[GO_ON, GO_ON, GO_ON], [GO_ON, END, GO_ON], [GO_ON, GO_ON, END]])
    np.testing.assert_array_equal(seen.discount, [[1, 1, 1], [1, 0, 1], [1, 1, 0]])


def test_next_obs_is_the_one_before_autoreset(play):
    seen, _, _ = play([[GO_ON, GO_ON], [GO_ON, END], [GO_ON, GO_ON], [GO_ON, GO_ON]])
    np.testing.assert_array_equal(seen.obs[..., 0], [[0, 0], [1, 1], [2, 0], [0, 1]])
    np.testing.assert_array_equal(seen.next_obs[..., 0], [[1, 1], [2, 2], [3, 1], [1, 2]])
