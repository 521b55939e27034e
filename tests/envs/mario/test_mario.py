"""MarioLevelGen without the reference's data: rules, statistics, starts and wrong options."""

import itertools
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

import envs
from drac_jax.measures import hypervolume
from envs.mario import patterns, rewards, tile_diversity, tiles
from envs.mario.decoder.network import decode
from envs.mario.level_gen import draw_starts, find_starts
from tests.support import toys


@pytest.fixture(scope="module")
def variables():
    return toys.level_decoder()


@pytest.fixture(scope="module")
def starts(variables):
    return find_starts(variables)


@pytest.fixture(scope="module")
def segments():
    """Random segments of few kinds of tiles, so that patterns repeat. -> [6, 16, 16]."""
    ids = np.random.default_rng(1).choice([0, 2, 3], (6, 16, 16), p=[0.2, 0.7, 0.1])
    return np.asarray(tiles.to_characters(ids))


def segment(*rows):
    """Make tile ids of the lowest rows given; empty above."""
    lines = ["-" * 16] * (16 - len(rows)) + [row.ljust(16, "-") for row in rows]
    return np.array([[tiles.ALPHABET.index(character) for character in line] for line in lines])


def text_of(characters):
    return [bytes(np.ascontiguousarray(row)).decode() for row in np.asarray(characters)]


def counter(characters):
    windows = itertools.product(range(15), range(characters.shape[1] - 1))
    return Counter(bytes(characters[r : r + 2, c : c + 2].ravel()) for r, c in windows)


def test_stalks_go_down_to_the_next_solid_tile_and_around_enemies():
    text = text_of(tiles.to_characters(segment("%-%%-%%%%", "", "-----g-g", "------S", "XX")))
    assert [line[:9] for line in text[-5:]] == [
        "%-%%-%%%%",
        "|-||--||-",
        "|-||-g|g-",
        "|-||--S|-",
        "XX||---|-",
    ]


def test_tile_0_is_ground_in_the_two_lowest_rows_only():
    assert [line[0] for line in text_of(tiles.to_characters(segment("X", "X", "X", "X")))[-4:]] == [
        *"##XX"
    ]


@pytest.mark.parametrize(("gap", "playable"), [(6, True), (7, False)])
def test_gap_of_seven_columns_across_two_segments_is_unplayable(gap, playable):
    left = segment("X" * 13, "")
    right = segment("-" * (gap - 3) + "X" * (19 - gap), "")
    joined = tiles.join(jnp.stack([tiles.to_characters(left), tiles.to_characters(right)]))
    assert bool(tiles.is_playable(joined)) == playable


def test_lot_has_the_counts_of_a_dictionary(segments):
    for one, other in itertools.pairwise(segments):
        counts, shared, union = compare(one, other)
        ours, expected = counter(one), counter(other)
        assert sorted(ours.values()) == sorted(counts[counts > 0].tolist())
        assert int(shared.sum()) == sum(expected[key] for key in ours)
        assert int(union) == len(ours.keys() | expected.keys())


@jax.jit
def compare(one, other):
    """-> a segment's counts, their counts in the other, and the size of the union."""
    lot, theirs = patterns.count(one), patterns.count(other)
    shared = patterns.counts_in(theirs, lot.codes)
    return lot.counts, shared, patterns.union_size(lot, theirs, shared)


def test_different_patterns_have_different_codes():
    symbols = [ord(c) for c in tiles.ALPHABET + tiles.BLOCK + tiles.STALK]
    columns = np.array(list(itertools.product(symbols, repeat=2)), np.uint8).T
    left = np.repeat(columns, 529, axis=1)
    right = np.tile(columns, 529)
    windows = np.stack([left, right], axis=-1).transpose(1, 0, 2)
    codes = np.asarray(patterns.pattern_codes(windows)).ravel()
    assert len(np.unique(codes)) == 23**4 and codes.min() > 0 and codes.max() < 2**28 - 1


def test_divergences_of_equal_segments_are_zero(segments):
    lot = patterns.count(segments)
    union = patterns.union_size(lot, lot, lot.counts)
    np.testing.assert_allclose(patterns.jensen_shannon(lot, lot.counts), 0.0, atol=1e-6)
    weight = patterns.weight(lot)
    kl = patterns.kullback_leibler(lot, lot.counts, weight, union)
    np.testing.assert_allclose(kl, 0.0, atol=1e-5)


def test_divergence_of_segments_that_share_nothing_is_one_bit():
    empty, full = (patterns.count(np.full((16, 16), ord(c), np.uint8)) for c in "-S")
    assert float(patterns.jensen_shannon(empty, patterns.counts_in(full, empty.codes))) == 1.0


@pytest.mark.parametrize("reward", ["multifacet", "puzzle"])
def test_memory_of_a_style_is_that_of_the_last_five_segments(segments, reward):
    style = rewards.make_style(reward)
    begin = jax.jit(style.begin)
    _, memory = jax.jit(style.judge)(begin(segments[:5]), segments[4], segments[5])
    jax.tree.map(np.testing.assert_array_equal, memory, begin(segments[1:]))


@pytest.mark.parametrize(
    ("mean", "penalty"), [(0.2, 0.06**2), (0.5, 0.0), (1.94, 1.0), (2.94, np.log(4.0) + 1)]
)
def test_penalty_is_the_square_and_then_its_logarithm(mean, penalty):
    assert float(rewards.penalty(jnp.float32(mean))) == pytest.approx(penalty, abs=1e-6)


def test_first_five_segments_are_playable_together(starts):
    chosen = jax.vmap(lambda key: draw_starts(starts, key))(
        jax.random.split(jax.random.key(3), 500)
    )
    assert chosen.min() >= 0 and len(np.unique(chosen)) > 50
    assert tiles.is_playable(tiles.join(jnp.asarray(starts.characters)[chosen])).all()
    unchecked = np.random.default_rng(0).integers(0, len(starts.left), (500, 5))
    assert not tiles.is_playable(tiles.join(jnp.asarray(starts.characters)[unchecked])).all()


def test_latents_of_the_starts_are_theirs(variables, starts):
    expected = jax.jit(lambda latents: tiles.to_characters(decode(variables, latents)))
    np.testing.assert_array_equal(starts.characters, expected(starts.latents))


def test_decoder_without_ground_is_refused(variables):
    bias = np.where(np.arange(tiles.NUM_TILES) == tiles.EMPTY, 1e6, 0.0).astype(np.float32)
    flat = flatten_dict(variables, sep="/") | {"params/deconv4/bias": bias}
    with pytest.raises(ValueError, match="none of 64 random segments is playable"):
        find_starts(unflatten_dict(flat, sep="/"), 64)


def test_nan_action_breaks_its_environment_alone(variables):
    env = envs.make("mario", decoder=variables)
    state = jax.jit(env.reset)(jax.random.split(jax.random.key(0), 3))
    state = jax.jit(env.step)(state, jnp.zeros((3, 20)).at[1, 4].set(jnp.nan))
    np.testing.assert_array_equal(state.info["broken"], [False, True, False])
    assert np.isfinite(state.obs).all() and np.isfinite(state.reward).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward": "fun"}, "reward='fun' is unknown; use 'multifacet' or 'puzzle'"),
        ({"reference_keys": True}, "reference_keys=True is of reward='puzzle' alone"),
    ],
)
def test_wrong_options_are_refused(variables, options, message):
    with pytest.raises(ValueError, match=message):
        envs.make("mario", decoder=variables, **options)


def test_distance_of_equal_levels_enters_the_geometric_mean():
    found = tile_diversity.diversity_of_distances(np.array([0, 100]))
    assert found.mean == 50.0
    assert found.geometric_mean == pytest.approx(np.sqrt(1e-3 * 100.001))


def test_levels_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match="3 levels cannot be paired"):
        tile_diversity.level_diversity(np.zeros((3, 2, 16, 16), np.uint8))


def test_dominated_points_add_nothing_to_the_hypervolume():
    points = np.array([[2.0, 1.0], [1.0, 2.0], [1.0, 1.0], [-1.0, 9.0]])
    assert hypervolume.hypervolume(points, np.zeros(2)) == 3.0
    assert hypervolume.hypervolume(points[:1], np.zeros(2)) == 2.0
    assert hypervolume.hypervolume(points[:1], np.zeros(2), two_at_least=True) == 0.0
