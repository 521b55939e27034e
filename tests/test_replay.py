import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drac_jax import replay as ring
from drac_jax.types import Transition

OBS, ACTION, ENVS, ROWS = 3, 2, 2, 4
add = jax.jit(ring.add)
sample = jax.jit(ring.sample, static_argnums=2)


def row_of(number: float) -> Transition:
    """Make a row in which every entry of environment e is 10 * number + e."""
    values = 10.0 * number + jnp.arange(ENVS)
    fill = jax.vmap(jnp.full, (None, 0))
    return Transition(fill(OBS, values), fill(ACTION, values), values, values, fill(OBS, values))


def filled(writes: int) -> ring.Replay:
    replay = ring.init(ROWS, ENVS, OBS, ACTION)
    for number in range(1, writes + 1):
        replay = add(replay, row_of(number))
    return replay


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(1, 3 * ROWS), st.integers(0, 99))
def test_samples_are_whole_transitions_of_the_newest_rows(writes, seed):
    drawn = sample(filled(writes), jax.random.key(seed), (5, 8))
    rows = range(max(1, writes - ROWS + 1), writes + 1)
    written = {10.0 * row + env for row in rows for env in range(ENVS)}
    assert set(np.unique(drawn.reward)) <= written
    for leaf in drawn:
        whole = np.broadcast_to(drawn.reward.reshape(5, 8, *[1] * (leaf.ndim - 2)), leaf.shape)
        np.testing.assert_array_equal(leaf, whole)


def test_every_written_transition_can_be_drawn():
    drawn = sample(filled(ROWS + 1), jax.random.key(0), (400,))
    written = {10.0 * row + env for row in range(2, ROWS + 2) for env in range(ENVS)}
    assert set(np.unique(drawn.reward)) == written


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(1, 3 * ROWS))
def test_newest_is_the_row_written_last(writes):
    np.testing.assert_array_equal(ring.newest(filled(writes)).obs, row_of(writes).obs)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.data())
def test_packing_loses_nothing(data):
    def draw(*shape: int) -> np.ndarray:
        return data.draw(hnp.arrays(np.float32, shape, elements=st.floats(width=32)))

    written = Transition(
        draw(ENVS, OBS), draw(ENVS, ACTION), draw(ENVS), draw(ENVS), draw(ENVS, OBS)
    )
    read = ring.newest(add(ring.init(ROWS, ENVS, OBS, ACTION), written))
    for before, after in zip(written, read, strict=True):
        np.testing.assert_array_equal(before, after)


def test_ring_of_every_seed_is_as_if_alone():
    keys = jax.random.split(jax.random.key(0), 3)

    def one(offset: jax.Array, key: jax.Array) -> Transition:
        replay = ring.init(ROWS, ENVS, OBS, ACTION)
        for number in range(ROWS + 2):
            replay = ring.add(replay, row_of(number + offset))
        return ring.sample(replay, key, (6,))

    offsets = jnp.arange(3.0)
    together = jax.jit(jax.vmap(one))(offsets, keys)
    alone = [jax.jit(one)(offset, key) for offset, key in zip(offsets, keys, strict=True)]
    jax.tree.map(np.testing.assert_array_equal, together, jax.tree.map(_stack, *alone))


def _stack(*leaves: jax.Array) -> np.ndarray:
    return np.stack(leaves)


def test_bytes_are_counted_as_allocated():
    replay = ring.init(ROWS, ENVS, OBS, ACTION)
    assert ring.nbytes(ROWS * ENVS, OBS, ACTION) == replay.data.nbytes
