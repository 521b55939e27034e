"""The decoder of MarioLevelGen: its layers, its file, and what reference weights may look like."""

import sys

import jax
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

import envs
from envs.mario.decoder.import_reference import convert, from_state_dict, reference_shapes
from envs.mario.decoder.import_reference import main as import_decoder
from envs.mario.decoder.network import Decoder, Upsample, load_weights, save_weights
from tests.support import toys


@pytest.fixture(scope="module")
def variables():
    return toys.level_decoder()


def test_upsampling_is_flax_transposed_convolution():
    image = jax.random.normal(jax.random.key(0), (2, 4, 4, 6))
    theirs = nn.ConvTranspose(5, (4, 4), (2, 2), "SAME")
    params = theirs.init(jax.random.key(1), image)
    ours = Upsample(5).apply(params, image)
    np.testing.assert_allclose(ours, theirs.apply(params, image), atol=1e-5)


def test_training_updates_the_running_moments(variables):
    module = Decoder((8, 8, 8), (False, False, True))
    latents = jax.random.uniform(jax.random.key(0), (4, 20))
    logits, updated = module.apply(variables, latents, train=True, mutable=["batch_stats"])
    assert logits.shape == (4, 16, 16, 21)
    before = variables["batch_stats"]
    same = jax.tree.map(lambda a, b: bool((a == b).any()), updated["batch_stats"], before)
    assert not any(jax.tree.leaves(same))


def test_saved_weights_are_those_loaded(variables, tmp_path):
    save_weights(tmp_path / "w.npz", variables)
    jax.tree.map(np.testing.assert_array_equal, load_weights(tmp_path / "w.npz"), variables)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            "params/deconv2/kernel",
            np.zeros((4, 4, 8, 9)),
            r"\(4, 4, 8, 9\); expected \(4, 4, 8, 8\)",
        ),
        ("params/deconv1/bias", None, "params/deconv1/bias is missing"),
        ("batch_stats/bn3/var", None, r"batch_stats/bn3/var is missing; expected \(8,\)"),
    ],
)
def test_weights_of_another_shape_are_refused(variables, tmp_path, name, array, message):
    flat = flatten_dict(variables, sep="/") | {name: array}
    kept = {key: value for key, value in flat.items() if value is not None}
    save_weights(tmp_path / "w.npz", unflatten_dict(kept, sep="/"))
    with pytest.raises(ValueError, match=message) as error:
        envs.make("mario", decoder=tmp_path / "w.npz")
    assert "\n" not in str(error.value)


def test_file_that_is_no_weights_is_refused(tmp_path):
    (tmp_path / "w.npz").write_text("levels")
    with pytest.raises(ValueError, match=r"w\.npz cannot be read as \.npz"):
        load_weights(tmp_path / "w.npz")
    with pytest.raises(ValueError, match="cannot be read"):
        load_weights(tmp_path / "none.npz")


@pytest.fixture
def reference_arrays():
    draw = np.random.default_rng(0)
    shapes = reference_shapes().items()
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes}


def test_import_names_the_misshapen_array(reference_arrays, tmp_path, capsys):
    path = tmp_path / "reference.npz"
    np.savez(path, **reference_arrays | {"bn2_mean": np.zeros(65)})
    assert import_decoder([str(path), "--out", str(tmp_path / "ours.npz")]) == 2
    error = capsys.readouterr().err
    assert "bn2_mean has shape (65,); expected (64,)" in error and error.count("\n") == 1
    assert not (tmp_path / "ours.npz").exists()


def test_import_of_pth_without_torch_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert import_decoder([str(tmp_path / "reference.pth")]) == 2
    assert "reading .pth needs PyTorch" in capsys.readouterr().err


def test_state_dict_with_spectral_norm_is_folded(reference_arrays):
    """Power iteration's u and v of a weight give its largest singular value, that is divided by."""
    state = torch_names(reference_arrays)
    weight = state.pop("stage2.0.weight")
    rows = np.moveaxis(weight, 1, 0).reshape(weight.shape[1], -1)
    left, sigma, right = np.linalg.svd(rows, full_matrices=False)
    normed = {"orig": weight, "u": left[:, 0], "v": right[0]}
    # The layer keeps its place in the order: its bias is still there.
    state |= {f"stage2.0.weight_{part}": value for part, value in normed.items()}
    found = from_state_dict("x.pth", state)
    assert found.keys() == reference_arrays.keys()
    np.testing.assert_allclose(found["deconv2_weight"], weight / sigma[0], rtol=1e-4, atol=1e-6)
    rest = reference_arrays.keys() - {"deconv2_weight"}
    assert all(np.array_equal(found[name], reference_arrays[name]) for name in rest)
    assert convert("x.pth", found)["params"]["attention2"]["gamma"].shape == (1,)


def torch_names(arrays):
    """Name reference arrays as a module of PyTorch would."""
    parts = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    state = {}
    for i in (1, 2, 3, 4):
        state[f"stage{i}.0.bias"] = arrays[f"deconv{i}_bias"]
        state[f"stage{i}.0.weight"] = arrays[f"deconv{i}_weight"]
        if i < 4:
            state |= {f"stage{i}.1.{parts[k]}": arrays[f"bn{i}_{k}"] for k in parts}
            state[f"stage{i}.1.num_batches_tracked"] = np.array(7)
        if i in (2, 3):
            state[f"attention{i}.gamma"] = arrays[f"attn{i}_gamma"]
            for name in ("query", "key", "value"):
                weight = arrays[f"attn{i}_{name}_weight"]
                state[f"attention{i}.{name}.weight"] = weight[:, :, None, None]
                state[f"attention{i}.{name}.bias"] = arrays[f"attn{i}_{name}_bias"]
    return state


def test_state_dict_of_another_network_is_refused(reference_arrays):
    state = torch_names(reference_arrays)
    del state["stage4.0.weight"]
    with pytest.raises(ValueError, match=r"\(3, 3, 6, 2\) transposed convolutions"):
        from_state_dict("x.pth", state)
