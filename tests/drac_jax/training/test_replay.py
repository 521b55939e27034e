from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drac_jax.training import replay as ring
from drac_jax.types import Transition

OBS, ACTION, ENVS, ROWS = 3, 2, 2, 4
NEVER = jnp.zeros(ENVS, bool)
add = jax.jit(ring.add)
sample = jax.jit(ring.sample, static_argnums=(2, 3, 4))


def row_of(number: float) -> Transition:
    """Make a row in which every entry of environment e is 10 * number + e."""
    values = 10.0 * number + jnp.arange(ENVS)
    fill = jax.vmap(jnp.full, (None, 0))
    ones = jnp.ones(ENVS)
    return Transition(fill(OBS, values), fill(ACTION, values), values, ones, fill(OBS, values))


def filled(writes: int) -> ring.Replay:
    replay = ring.init(ROWS, ENVS, OBS, ACTION)
    for number in range(1, writes + 1):
        replay = add(replay, row_of(number), NEVER, NEVER)
    return replay


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(1, 3 * ROWS), st.integers(0, 99))
def test_samples_are_whole_transitions_of_the_newest_rows(writes, seed):
    drawn = sample(filled(writes), jax.random.key(seed), (5, 8))
    rows = range(max(1, writes - ROWS + 1), writes + 1)
    written = {10.0 * row + env for row in rows for env in range(ENVS)}
    assert set(np.unique(drawn.reward)) <= written
    for leaf in drawn._replace(discount=drawn.reward):
        whole = np.broadcast_to(drawn.reward.reshape(5, 8, *[1] * (leaf.ndim - 2)), leaf.shape)
        np.testing.assert_array_equal(leaf, whole)


def test_every_written_transition_can_be_drawn():
    drawn = sample(filled(ROWS + 1), jax.random.key(0), (1, 400))
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

    discount = data.draw(hnp.arrays(np.float32, ENVS, elements=st.sampled_from([0.0, 1.0])))
    written = Transition(draw(ENVS, OBS), draw(ENVS, ACTION), draw(ENVS), discount, draw(ENVS, OBS))
    store_next_obs = data.draw(st.booleans())
    replay = ring.init(ROWS, ENVS, OBS, ACTION, store_next_obs)
    read = ring.newest(add(replay, written, NEVER, NEVER))
    for before, after in zip(written, read, strict=True):
        np.testing.assert_array_equal(before, after)


def test_ring_of_every_seed_is_as_if_alone():
    keys = jax.random.split(jax.random.key(0), 3)

    def one(offset: jax.Array, key: jax.Array) -> Transition:
        replay = ring.init(ROWS, ENVS, OBS, ACTION)
        for number in range(ROWS + 2):
            replay = ring.add(replay, row_of(number + offset), NEVER, NEVER)
        return ring.sample(replay, key, (1, 6))

    offsets = jnp.arange(3.0)
    together = jax.jit(jax.vmap(one))(offsets, keys)
    alone = [jax.jit(one)(offset, key) for offset, key in zip(offsets, keys, strict=True)]
    jax.tree.map(np.testing.assert_array_equal, together, jax.tree.map(_stack, *alone))


def _stack(*leaves: jax.Array) -> np.ndarray:
    return np.stack(leaves)


@pytest.mark.parametrize("store_next_obs", [True, False])
def test_bytes_are_counted_as_allocated(store_next_obs):
    replay = ring.init(ROWS, ENVS, OBS, ACTION, store_next_obs)
    assert ring.nbytes(ROWS * ENVS, OBS, ACTION, store_next_obs) == replay.data.nbytes


def test_a_million_transitions_of_ant_fit_in_260_and_160_mb():
    assert ring.nbytes(10**6, 27, 8) <= 260e6
    assert ring.nbytes(10**6, 27, 8, store_next_obs=False) <= 160e6


class Story(NamedTuple):
    """T steps of E environments in which every transition has its own reward."""

    transitions: Transition  # leaves [T, E, ...]
    truncated: np.ndarray
    broken: np.ndarray


def story(steps: int, num_envs: int, seed: int, breaks: float) -> Story:
    """Make up episodes of random length; obs and next_obs differ at their ends, as autoreset
    makes them, and a broken step has NaN in its results."""
    rng = np.random.default_rng(seed)
    shape = (steps, num_envs)
    number = np.arange(1.0, 1.0 + steps * num_envs).reshape(shape).astype(np.float32)
    ended, broken = rng.random(shape) < 0.3, rng.random(shape) < breaks
    truncated = ended & (rng.random(shape) < 0.5) & ~broken
    truncated[0] = broken[0] = False  # there is nothing before the first row
    obs, terminal = number[..., None], -number[..., None]
    after = np.concatenate([obs[1:], terminal[-1:]])
    next_obs = np.where(ended[..., None], terminal, after)
    next_obs[broken] = np.nan
    reward = np.where(broken, np.nan, number)
    discount = np.where(ended & ~truncated, 0.0, 1.0)
    transitions = Transition(obs, number[..., None], reward, discount, next_obs)
    return Story(jax.tree.map(np.float32, transitions), truncated, broken)


def told(tale: Story, rows: int, store_next_obs: bool) -> ring.Replay:
    """Write a story into a ring."""
    num_envs = tale.broken.shape[1]
    replay = ring.init(rows, num_envs, 1, 1, store_next_obs)
    return jax.lax.scan(lambda r, row: (ring.add(r, *row), None), replay, tuple(tale))[0]


def lookup(tale: Story, drawn: Transition) -> tuple[np.ndarray, np.ndarray]:
    """Find where in a story drawn transitions come from, by their obs."""
    at = np.asarray(drawn.obs[0, :, 0]).astype(int) - 1
    return np.divmod(at, tale.broken.shape[1])


@pytest.mark.parametrize("rows", [40, 12, 13], ids=["not full", "full", "full, odd"])
@pytest.mark.parametrize("breaks", [0.0, 0.1])
def test_rows_without_next_obs_give_the_same_transitions(rows, breaks):
    tale = story(30, 4, seed=3, breaks=breaks)
    # The last two steps of a story end no episode, so that the oldest row's copies are in the ring.
    drawn = sample(told(tale, rows, False), jax.random.key(0), (1, 4000), 1, 1)
    step, env = lookup(tale, drawn)
    terminated = np.asarray(drawn.discount[0]) == 0.0
    for name in ("obs", "action", "reward", "discount"):
        expected = getattr(tale.transitions, name)[step, env]
        np.testing.assert_array_equal(getattr(drawn, name)[0], expected)
    next_obs = tale.transitions.next_obs[step, env]
    np.testing.assert_array_equal(drawn.next_obs[0][~terminated], next_obs[~terminated])
    assert np.isfinite(drawn.next_obs).all()
    kept = ~tale.truncated & ~tale.broken
    first = max(0, len(kept) - rows + 1)
    expected = {(t, e) for t, e in np.argwhere(kept) if t >= first}
    assert expected <= set(zip(step.tolist(), env.tolist(), strict=True))


@pytest.mark.parametrize("n_step", [2, 3, 5])
@pytest.mark.parametrize("rows", [40, 12])
def test_n_step_transitions_sum_rewards_up_to_the_end_of_the_episode(n_step, rows):
    tale, gamma = story(30, 4, seed=n_step, breaks=0.1), 0.9
    drawn = sample(told(tale, rows, True), jax.random.key(0), (1, 2000), 1, n_step, gamma)
    step, env = lookup(tale, drawn)
    assert step.max() == len(tale.broken) - n_step
    ended = tale.truncated | (tale.transitions.discount == 0.0)
    for i in range(0, 2000, 7):
        t, e, reward = step[i], env[i], 0.0
        for k in range(n_step):
            if k and tale.broken[t + k, e]:
                break
            reward += gamma**k * tale.transitions.reward[t + k, e]
            last = t + k
            if ended[t + k, e]:
                break
        discount = tale.transitions.discount[last, e] * gamma ** (last - t)
        np.testing.assert_allclose(drawn.reward[0, i], reward, rtol=1e-6)
        np.testing.assert_allclose(drawn.discount[0, i], discount, rtol=1e-6)
        np.testing.assert_array_equal(drawn.next_obs[0, i], tale.transitions.next_obs[last, e])


@pytest.mark.parametrize("store_next_obs", [True, False])
def test_each_stratum_gives_its_share_of_every_minibatch(store_next_obs):
    tale = story(20, 8, seed=0, breaks=0.0)
    drawn = sample(told(tale, 20, store_next_obs), jax.random.key(0), (3, 40), 4)
    env = (np.asarray(drawn.obs[..., 0]).astype(int) - 1) % 8
    np.testing.assert_array_equal(env // 2, np.tile(np.repeat(np.arange(4), 10), (3, 1)))


@pytest.mark.parametrize("store_next_obs", [True, False])
def test_writing_and_sampling_copy_no_ring(store_next_obs):
    rows, num_envs = 1000, 4
    replay = ring.init(rows, num_envs, 5, 3, store_next_obs)
    transition = Transition(
        jnp.ones((num_envs, 5)),
        jnp.ones((num_envs, 3)),
        *jnp.ones((2, num_envs)),
        jnp.ones((num_envs, 5)),
    )

    def step(replay: ring.Replay, key: jax.Array) -> tuple[ring.Replay, Transition]:
        never = jnp.zeros(num_envs, bool)
        replay = ring.add(replay, transition, never, never)
        return replay, ring.sample(replay, key, (1, 8), 2)

    loop = jax.jit(lambda r, keys: jax.lax.scan(step, r, keys), donate_argnums=0)
    program = loop.lower(replay, jax.random.split(jax.random.key(0), 3)).compile().as_text()
    whole = f"f32[{rows},{num_envs},{ring.width(5, 3, store_next_obs)}]"
    made = {
        line.split("=")[1].split("(")[0].split()[-1]
        for line in program.splitlines()
        if "=" in line and line.split("=")[1].split("{")[0].strip() == whole
    }
    assert made <= {"parameter", "get-tuple-element", "dynamic-update-slice", "bitcast", "fusion"}
