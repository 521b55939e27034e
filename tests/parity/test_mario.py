"""MarioLevelGen against the reference's golden vectors, in float32."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.measures import hypervolume
from envs.mario import patterns, rewards, tile_diversity, tiles
from envs.mario.decoder.import_reference import main as import_decoder
from envs.mario.decoder.network import decode, load_weights, module_of
from envs.mario.level_gen import begin, make_level_gen
from experiments.throughput.contenders.numpy_levels import NumpyLevelGen
from tests.support import reference
from tests.support.tolerances import assert_within, error_of

VALUES = {"multifacet": "mf", "puzzle": "mp"}


@pytest.fixture(scope="module")
def golden():
    return reference.load("mario/golden_public")


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    target = tmp_path_factory.mktemp("decoder") / "ours.npz"
    assert import_decoder([str(reference.decoder()), "--out", str(target)]) == 0
    return load_weights(target)


@pytest.fixture(scope="module")
def episodes(golden, variables):
    """All episodes in both styles. -> style: (observations, rewards), [4, 50, ..]."""
    given = golden["ep_init_latents"], golden["ep_chars"][:, :5], golden["ep_actions"]
    played = {}
    for name in VALUES:
        by_reference = name == "puzzle"
        task = make_level_gen(name, by_reference, variables)
        style = rewards.make_style(name, by_reference)
        played[name] = jax.jit(jax.vmap(partial(play, task, style)))(*given)
    return played


def play(task, style, latents, characters, actions):
    def step(sim, action):
        out = task.step(sim, action)
        return out.sim, (out.obs, out.reward, out.sim.characters)

    first = begin(style, latents, characters)
    return first.obs, jax.lax.scan(step, first.sim, actions)[1]


def close(ours, theirs, kind):
    assert_within(f"mario {kind}", error_of(ours, np.asarray(theirs)))


def test_decoded_segments_are_identical(golden, variables):
    ids = jax.jit(decode)(variables, golden["dec_latents"])
    np.testing.assert_array_equal(ids, golden["dec_tile_ids"])


def test_probabilities_of_tiles(golden, variables):
    logits = module_of(variables).apply(variables, golden["dec_latents"][:8])
    ours = jnp.moveaxis(jax.nn.softmax(logits), -1, 1)
    close(ours, golden["dec_probs_first8"], "probability")


@pytest.mark.parametrize(
    ("ids", "characters"),
    [
        ("dec_tile_ids", "dec_chars"),
        ("syn_tile_ids", "syn_chars"),
        ("ep_tile_ids", "ep_chars"),
    ],
)
def test_characters_are_identical(golden, ids, characters):
    np.testing.assert_array_equal(tiles.to_characters(golden[ids]), golden[characters])


def test_gap_rule_is_the_same(golden):
    episode, history = golden["ep_chars"], golden["rf_history_chars"]
    joined = {
        "dec_playable_alone": golden["dec_chars"],
        "pair_playable": np.concatenate([golden["pair_chars_a"], golden["pair_chars_b"]], -1),
        "ep_playable": np.concatenate([episode[:, 4:-1], episode[:, 5:]], -1),
        "rf_playable": np.concatenate([history[..., 64:], golden["rf_seg_chars"]], -1),
    }
    for name, characters in joined.items():
        np.testing.assert_array_equal(tiles.is_playable(characters), golden[name], name)


def test_divergences_of_pairs(golden):
    one, other = (patterns.count(golden[f"pair_chars_{side}"]) for side in "ab")
    shared = patterns.counts_in(other, one.codes)
    union = patterns.union_size(one, other, shared)
    np.testing.assert_array_equal(union, golden["pair_n_patterns_union"])
    close(patterns.jensen_shannon(one, shared), golden["pair_js"], "js")
    weight = patterns.weight(other)
    close(patterns.kullback_leibler(one, shared, weight, union), golden["pair_kl"], "kl")


def histories(golden, kind):
    """Every (five segments, new one) of the reward's cases or of the episodes. -> [N, ..]."""
    if kind == "rf":
        columns = golden["rf_history_chars"].reshape(-1, 16, 5, 16)
        return np.moveaxis(columns, 2, 1), golden["rf_seg_chars"]
    level = golden["ep_chars"]
    before = np.stack([level[:, i : i + 50] for i in range(5)], axis=2)
    return before.reshape(-1, 5, 16, 16), level[:, 5:].reshape(-1, 16, 16)


@pytest.mark.parametrize("kind", ["rf", "ep"])
def test_multifacet_of_a_history(golden, kind):
    segments, new = histories(golden, kind)
    memory = jax.jit(jax.vmap(rewards.make_style("multifacet").begin))(segments)
    divergences = jax.jit(jax.vmap(rewards.segment_divergences))(patterns.count(new), memory)
    close(divergences, golden[f"{kind}_mf_js"].reshape(-1, 5), "js")
    close(rewards.multifacet(divergences), golden[f"{kind}_mf_facet"].reshape(-1), "multifacet")


@pytest.mark.parametrize("kind", ["rf", "ep"])
def test_puzzle_of_a_history(golden, kind):
    segments, new = histories(golden, kind)
    windows = jax.jit(jax.vmap(rewards.make_style("puzzle").begin))(segments)
    lots = jax.jit(patterns.count)(new)
    keys = jax.jit(jax.vmap(patterns.growing_union_sizes))(lots, windows.lots)
    np.testing.assert_array_equal(keys, golden[f"{kind}_mp_n_keys"].reshape(-1, 8))
    measure = partial(rewards.window_divergences, reference_keys=True)
    divergences = jax.jit(jax.vmap(measure))(lots, windows.lots, windows.weights)
    close(divergences, golden[f"{kind}_mp_kl"].reshape(-1, 8), "kl")
    mean = divergences.mean(axis=-1)
    close(mean, golden[f"{kind}_mp_mean_kl"].reshape(-1), "kl")
    close(rewards.penalty(mean), golden[f"{kind}_mp_penalty"].reshape(-1), "puzzle")
    close(rewards.puzzle(divergences), golden[f"{kind}_mp_facet"].reshape(-1), "puzzle")


def test_clean_divergences_smooth_the_pairs_patterns_alone(golden):
    segments, new = histories(golden, "ep")
    windows = jax.jit(jax.vmap(rewards.make_style("puzzle").begin))(segments)
    measure = jax.jit(jax.vmap(rewards.window_divergences))
    divergences = measure(patterns.count(new), windows.lots, windows.weights)
    close(divergences, golden["ep_mp_kl_fresh"].reshape(-1, 8), "kl")


def test_novelty_is_the_mean_of_the_three_smallest(golden):
    value = rewards.puzzle(golden["ep_mp_kl"].astype(np.float32))
    novelty = value + rewards.PENALTY_WEIGHT * golden["ep_mp_penalty"]
    close(novelty, golden["ep_mp_novelty"], "puzzle")


@pytest.mark.parametrize("style", VALUES)
def test_episodes_are_the_references(golden, episodes, style):
    first, (obs, reward, characters) = episodes[style]
    np.testing.assert_array_equal(first, golden["ep_observations"][:, 0])
    np.testing.assert_array_equal(obs, golden["ep_observations"][:, 1:])
    np.testing.assert_array_equal(characters, golden["ep_chars"][:, 5:])
    close(reward, golden[f"ep_{VALUES[style]}_reward"], style)


def test_unplayable_steps_are_in_the_episodes(golden):
    lost = golden["ep_mf_facet"] - golden["ep_mf_reward"]
    np.testing.assert_allclose(lost, 1.0 * ~golden["ep_playable"], atol=1e-12)
    assert 0 < golden["ep_playable"].mean() < 1


@pytest.mark.parametrize("style", VALUES)
def test_plain_environment_agrees(golden, variables, style):
    """The one that the bench compares with; its MarioPuzzle is the clean one."""
    task, made = make_level_gen(style, False, variables), rewards.make_style(style)
    latents, actions = golden["ep_init_latents"][0], golden["ep_actions"][0]
    given = latents, golden["ep_chars"][0, :5], actions
    _, (obs, reward, _) = jax.jit(partial(play, task, made))(*given)
    plain = NumpyLevelGen(jax.device_get(variables), latents, style)
    steps = [plain.step(action) for action in actions]
    np.testing.assert_array_equal(obs, [step[0] for step in steps])
    close(reward, [step[1] for step in steps], style)


def test_hamming_diversity(golden):
    np.testing.assert_array_equal(
        tile_diversity.hamming(golden["lvl_chars"][:, 0], golden["lvl_chars"][:, 1]),
        golden["lvl_hamming"],
    )
    case = tile_diversity.diversity_of_distances(golden["gmean_case_distances"])
    assert case.geometric_mean == pytest.approx(float(golden["gmean_case_value"]), abs=1e-9)


def test_diversity_of_decoded_levels(golden, variables):
    segments = jax.jit(decode)(variables, golden["lvl_latents"][..., 4:, :])
    found = tile_diversity.level_diversity(segments.reshape(32, 21, 16, 16))
    assert found.mean == pytest.approx(float(golden["lvl_avg_distance"]), abs=1e-9)
    assert found.geometric_mean == pytest.approx(float(golden["lvl_gmean_distance"]), abs=1e-9)


@pytest.mark.parametrize("number", range(8))
def test_hypervolume(golden, number):
    points = golden["hv_points"][number][: golden["hv_count"][number]]
    corner = golden["hv_ref"][number]
    for name, strict in {"hv_curve": False, "hv_table": True}.items():
        ours = hypervolume.hypervolume(points, corner, two_at_least=strict)
        assert ours == pytest.approx(golden[name][number], rel=0, abs=1e-9)
