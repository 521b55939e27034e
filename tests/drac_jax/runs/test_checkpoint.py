"""What a checkpoint holds comes back as it was."""

import jax
import jax.numpy as jnp
import pytest

from drac_jax.runs.storage.checkpoint import Checkpoints
from drac_jax.training.loop import TrainState
from tests.support.tolerances import leaves_of


@pytest.fixture
def state() -> TrainState:
    """Make a state whose environment has an array without elements, as MJX's have for a robot
    without activations."""
    fields = dict.fromkeys(TrainState._fields, jnp.arange(3.0))
    agent = {"keys": jax.random.split(jax.random.key(0))}
    env = {"act": jnp.zeros((4, 0)), "contact": jnp.zeros((4, 0, 3), jnp.int32), "q": jnp.ones(4)}
    return TrainState(**fields | {"env": env, "agent": agent})


def test_arrays_without_elements_are_restored(state, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, (state, None), {})
    restored, _ = checkpoints.restore(1, (jax.eval_shape(lambda: state), None))
    assert jax.eval_shape(lambda: restored) == jax.eval_shape(lambda: state)
    for ours, theirs in zip(leaves_of(restored), leaves_of(state), strict=True):
        assert (ours == theirs).all()
