"""MultiGoal against 64 episodes of the reference environment, in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.multigoal import MAX_STEPS, make_multigoal
from tests.support import reference
from tests.support.tolerances import assert_within, error_of

VARIANTS = {
    "standard": {},
    "sparse": {"reward": "sparse"},
    "euclidean": {"metric": "euclidean"},
    "walls": {"obstacles": True},
    "walls_euclidean": {"metric": "euclidean", "obstacles": True},
}


@pytest.fixture(scope="module")
def data():
    return reference.load("multigoal")


def play(task, actions):
    """Play actions [N, T, 2] open loop, past the end of episodes. -> TaskStep of [N, T]."""

    def step(sim, action):
        out = task.step(sim, action)
        return out.sim, out

    start = task.reset(jax.random.key(0)).sim
    return jax.jit(jax.vmap(lambda plan: jax.lax.scan(step, start, plan)[1]))(actions)


@pytest.mark.parametrize(("number", "variant"), list(enumerate(VARIANTS)), ids=list(VARIANTS))
def test_episodes_are_the_references(data, number, variant):
    here = data["variant"] == number
    valid = data["valid"][here]
    assert here.any() and valid.any()
    task = make_multigoal(**VARIANTS[variant])
    out = jax.tree.map(np.asarray, play(task, jnp.asarray(data["action"][here])))
    assert_within("multigoal", error_of(out.obs[valid], data["pos"][here][:, 1:][valid]))
    assert_within("multigoal", error_of(out.reward[valid], data["reward"][here][valid]))
    for ours, theirs in (
        (out.terminated, "terminated"),
        (out.truncated, "truncated_box"),
        (out.goal, "target"),
    ):
        np.testing.assert_array_equal(ours[valid], data[theirs][here][valid], err_msg=theirs)


def test_the_time_limit_is_the_references(data):
    ended_by_time = data["truncated"] & ~data["truncated_box"]
    assert ended_by_time.any()
    assert (ended_by_time.argmax(axis=1)[ended_by_time.any(axis=1)] == MAX_STEPS - 1).all()
