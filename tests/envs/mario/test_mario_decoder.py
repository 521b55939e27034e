"""Training a decoder, and the decoder that comes with the package."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from envs.mario import level_gen
from envs.mario.decoder.network import Decoder, load_weights
from envs.mario.decoder_training import corpus, gan, matmul_layers
from envs.mario.decoder_training import train_decoder as trainer
from envs.mario.tiles import ALPHABET, LATENT_SIZE
from experiments.cli.main import main

SHIPPED = level_gen.SHIPPED_DECODER
WIDTHS = (8, 6, 4)
FLAT = "\n".join(["-" * 20] * 14 + ["X" * 20] * 2)


@pytest.fixture(scope="module")
def shipped() -> np.ndarray:
    """Random segments: latents uniform in the box."""
    return trainer.random_segments(load_weights(SHIPPED), 7, 1000)


@pytest.fixture(scope="module")
def reference() -> dict[str, float]:
    """What other levels than the ones learnt from have."""
    levels = corpus.generate_levels(123, 300)
    return corpus.statistics(list(corpus.windows(levels, 16)))


# Not of whole pipes, two columns of one height: random segments have 0.4 of the corpus's.
@pytest.mark.parametrize("name", [name for name in trainer.TARGETS if name != "pipes"])
def test_the_shipped_decoder_has_the_statistics_of_the_corpus(name, shipped, reference):
    ratio = corpus.statistics(list(shipped))[name] / reference[name]
    assert abs(ratio - 1.0) < 0.25


def test_most_segments_of_the_shipped_decoder_are_playable_alone(shipped):
    assert corpus.statistics(list(shipped))["playable"] >= 0.9


def test_nearly_all_segments_of_the_shipped_decoder_differ(shipped):
    assert len({segment.tobytes() for segment in shipped}) >= 900


def test_the_shipped_weights_are_small_and_say_what_made_them():
    record = json.loads(SHIPPED.with_suffix(".json").read_text())
    assert SHIPPED.stat().st_size < 2e6
    assert record["command"].startswith("python -m experiments decoder")
    assert {"seed", "versions", "scores"} <= set(record)


@pytest.fixture(scope="module")
def small():
    """A small decoder with kernels, biases and norms that are all unlike their first values."""
    decoder = Decoder(WIDTHS, (False, False, False))
    variables = decoder.init(jax.random.key(0), jnp.zeros((1, LATENT_SIZE)))
    leaves, tree = jax.tree.flatten(variables["params"])
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return decoder, {**variables, "params": jax.tree.unflatten(tree, noisy)}


forward = jax.jit(matmul_layers.forward)


def test_matrix_products_compute_what_the_decoder_computes_in_training(small):
    decoder, variables = small
    latents = gan.draw_latents(jax.random.key(2), 5)
    train = partial(decoder.apply, train=True, mutable=["batch_stats"])
    expected, _ = jax.jit(train)(variables, latents)
    logits, _ = forward(variables["params"], latents)
    np.testing.assert_allclose(logits, expected, rtol=0.0, atol=1e-5)


def test_moments_make_the_decoder_compute_without_the_batch_what_it_did_with_it(small):
    decoder, variables = small
    latents = gan.draw_latents(jax.random.key(2), 5)
    logits, moments = forward(variables["params"], latents)
    alone = jax.jit(decoder.apply)({**variables, "batch_stats": moments}, latents)
    np.testing.assert_allclose(alone, logits, rtol=0.0, atol=1e-5)


def test_what_the_critic_sees_is_the_likeliest_tile_with_the_gradient_of_probabilities(small):
    decoder, variables = small
    latents = gan.draw_latents(jax.random.key(2), 3)
    seen, _ = jax.jit(gan.generate)(variables["params"], latents)
    logits, _ = forward(variables["params"], latents)
    np.testing.assert_array_equal(seen.argmax(-1), logits.argmax(-1))
    np.testing.assert_allclose(jnp.sort(seen, axis=-1)[..., -2:].sum(-1), 1.0, atol=1e-6)
    grad = jax.grad(lambda params: gan.generate(params, latents)[0][..., 0].sum())
    soft = jax.grad(
        lambda params: jax.nn.softmax(matmul_layers.forward(params, latents)[0])[..., 0].sum()
    )
    ours, theirs = (jax.jit(f)(variables["params"])["deconv4"]["kernel"] for f in (grad, soft))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert jnp.abs(theirs).max() > 1e-3


@pytest.mark.slow
def test_a_short_training_brings_the_tiles_nearer_to_the_corpus():
    windows = corpus.windows(corpus.generate_levels(0, 8))
    settings = gan.Settings(steps=75, batch=16, widths=WIDTHS, lr=5e-3)
    training = gan.make_gan(windows, settings)
    players = training.init(jax.random.key(0))
    wanted = gan.row_frequencies(windows)

    def error(players) -> float:
        seen, _ = gan.generate(players.decoder, gan.draw_latents(jax.random.key(5), 100))
        return float(np.abs(seen.mean((0, 2)) - wanted).sum())

    before, many = error(players), trainer.make_chunk(training)
    for key in jax.random.split(jax.random.key(1), 3):
        players, metrics = many(players, key)
    assert all(np.isfinite(value) for value in metrics.values())
    assert error(players) < 0.5 * before


@pytest.mark.slow
def test_the_command_learns_from_a_folder_and_writes_weights_scores_and_a_sheet(tmp_path):
    folder = tmp_path / "levels"
    folder.mkdir()
    (folder / "flat.txt").write_text(FLAT)
    out = tmp_path / "mine.npz"
    arguments = f"--corpus {folder} --out {out} --steps 2 --batch 4 --seed 3".split()
    assert main(["decoder", *arguments]) == 0
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["seed"] == 3 and f"--corpus {folder}" in record["command"]
    assert set(record["scores"]["ratio to the corpus"]) == {"ground"}  # there is nothing else
    assert trainer.random_segments(load_weights(out), 0, 3).shape == (3, 16, 16)
    assert Image.open(out.with_suffix(".png")).width > 8 * 128


BAD = {
    "--corpus {}/missing": "has no level; put text files",
    "--corpus {}": "wrong.txt, line 1, column 3: 'x' is no tile",
    "--steps 0": "steps=0 must be at least 1",
    "--batch -1": "batch=-1 must be at least 1",
    "--lr 0": "lr=0.0 must be between 0 and 1",
    "--out {}/decoder.zip": "must end in .npz",
    "--out {}/missing/decoder.npz": "there is no folder",
}


@pytest.mark.parametrize("arguments", BAD)
def test_wrong_input_is_one_line_and_exit_code_two(arguments, tmp_path, capsys):
    (tmp_path / "wrong.txt").write_text("--x" + FLAT[3:])
    assert main(["decoder", *arguments.format(tmp_path).split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and BAD[arguments] in error
    assert error.count("\n") == 1


def test_balance_makes_each_tile_the_likeliest_as_often_as_wished():
    logits = jax.random.normal(jax.random.key(0), (4000, 21)) - 3.0 * (jnp.arange(21) == 4)
    target = jnp.where(jnp.arange(21) == 2, 0.8, 0.01)
    tiles = (logits + gan.balance(logits, target)).argmax(-1)
    found = np.bincount(tiles, minlength=21) / 4000
    np.testing.assert_allclose(found, target, atol=0.004)


def test_scores_leave_out_what_the_corpus_has_none_of():
    flat = corpus.parse_level(FLAT, "flat")
    scores = trainer.score(corpus.windows([flat]), corpus.statistics([flat]))
    assert scores["ratio to the corpus"] == {"ground": 1.0}
    assert (scores["distinct"], scores["segments"]) == (1, 5)
    assert scores["playable"] == 1.0
    assert ALPHABET[flat[0, 0]] == "-"
