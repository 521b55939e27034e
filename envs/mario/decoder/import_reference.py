"""Make a file of our decoder from reference weights.

python -m envs.mario.decoder.import_reference FILE

FILE is an .npz with arrays `deconv1_weight` (in, out, row, column), `deconv1_bias`, `bn1_scale`,
`_bias`, `_mean`, `_var`, `attn2_query_weight` (out, in) .. `attn3_gamma` and `bn_eps`; or a .pth
state dict of PyTorch whose layers, in their order, are transposed convolution, batch norm (three
times) and a last transposed convolution, with the two attentions between them. Its names do not
matter beyond their ends (`weight`, `bias`, `running_mean`, `gamma`); spectral normalisation
(`weight_orig`, `weight_u`, `weight_v`) is folded in. Other layouts are refused.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from flax.traverse_util import unflatten_dict

from envs.mario.decoder.network import BATCH_NORM_EPS, check_shapes, read_arrays, save_weights
from envs.mario.tiles import LATENT_SIZE, NUM_TILES

WIDTHS = (128, 64, 32)
ATTENDED = (2, 3)  # layers that self-attention follows
MAPS = ("query", "key", "value")
TORCH_BATCH_NORM = {
    "weight": "scale",
    "bias": "bias",
    "running_mean": "mean",
    "running_var": "var",
}


def reference_shapes() -> dict[str, tuple[int, ...]]:
    """List the arrays of the reference decoder. -> name: shape."""
    sizes = (LATENT_SIZE, *WIDTHS, NUM_TILES)
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False), start=1):
        side = 3 if i == len(sizes) - 1 else 4
        shapes |= {
            f"deconv{i}_weight": (fan_in, fan_out, side, side),
            f"deconv{i}_bias": (fan_out,),
        }
    for i, width in enumerate(WIDTHS, start=1):
        shapes |= {f"bn{i}_{part}": (width,) for part in ("scale", "bias", "mean", "var")}
    for i in ATTENDED:
        width = WIDTHS[i - 1]
        for name in MAPS:
            out = width if name == "value" else width // 8
            shapes |= {f"attn{i}_{name}_weight": (out, width), f"attn{i}_{name}_bias": (out,)}
        shapes[f"attn{i}_gamma"] = (1,)
    return shapes


def convert(path: str | Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Arrange reference arrays as variables of `Decoder`.

    Raises ValueError naming the array that is missing or misshapen, or an epsilon that is not 1e-5.
    """
    check_shapes(path, arrays, reference_shapes())
    epsilon = float(arrays.get("bn_eps", np.float32(BATCH_NORM_EPS)))
    if not np.isclose(epsilon, BATCH_NORM_EPS):
        raise ValueError(f"decoder weights {path}: bn_eps={epsilon} must be {BATCH_NORM_EPS}")
    flat = {}
    for i in range(1, len(WIDTHS) + 2):
        flat[f"params/deconv{i}/bias"] = arrays[f"deconv{i}_bias"]
        # A transposed convolution of the reference adds patches; Flax's slides a flipped kernel.
        kernel = arrays[f"deconv{i}_weight"].transpose(2, 3, 0, 1)
        flat[f"params/deconv{i}/kernel"] = kernel[::-1, ::-1]
    for i in range(1, len(WIDTHS) + 1):
        flat |= {f"params/bn{i}/{part}": arrays[f"bn{i}_{part}"] for part in ("scale", "bias")}
        flat |= {f"batch_stats/bn{i}/{part}": arrays[f"bn{i}_{part}"] for part in ("mean", "var")}
    for i in ATTENDED:
        for name in MAPS:
            flat[f"params/attention{i}/{name}/kernel"] = arrays[f"attn{i}_{name}_weight"].T
            flat[f"params/attention{i}/{name}/bias"] = arrays[f"attn{i}_{name}_bias"]
        flat[f"params/attention{i}/gamma"] = arrays[f"attn{i}_gamma"]
    return unflatten_dict(flat, sep="/")


def from_state_dict(path: str | Path, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name the arrays of a state dict, module by module, as the reference .npz does.

    A module is what shares a name up to the last dot: with `running_mean` it is batch norm, with a
    weight [in, out, side, side] of side 3 or 4 a transposed convolution, with one of side 1 a map
    of an attention (query, key, value in this order); `gamma` is the attention's own.
    Raises ValueError if there are more or fewer modules of a kind than the decoder has.
    """
    modules: dict[str, dict[str, np.ndarray]] = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        modules.setdefault(module, {})[leaf] = value
    folded = [_fold_spectral(parts) for parts in modules.values()]
    norms = [m for m in folded if "running_mean" in m]
    weighted = [m for m in folded if "weight" in m and "running_mean" not in m]
    maps = [m for m in weighted if m["weight"].ndim < 4 or m["weight"].shape[-1] == 1]
    layers = [m for m in weighted if m["weight"].ndim == 4 and m["weight"].shape[-1] > 1]
    gammas = [m["gamma"] for m in folded if "gamma" in m]
    found = tuple(len(kind) for kind in (layers, norms, maps, gammas))
    if found != (4, 3, 6, 2):
        raise ValueError(
            f"decoder weights {path}: {found} transposed convolutions, batch norms, attention maps "
            "and gammas; expected (4, 3, 6, 2)"
        )
    arrays = {f"deconv{i}_{k}": v for i, m in enumerate(layers, 1) for k, v in m.items()}
    arrays |= {
        f"bn{i}_{TORCH_BATCH_NORM[k]}": v
        for i, m in enumerate(norms, 1)
        for k, v in m.items()
        if k in TORCH_BATCH_NORM
    }
    names = [f"attn{i}_{name}" for i in ATTENDED for name in MAPS]
    for name, m in zip(names, maps, strict=True):
        arrays |= {f"{name}_weight": m["weight"].reshape(m["weight"].shape[:2])}
        arrays |= {f"{name}_bias": m["bias"]} if "bias" in m else {}
    return arrays | {f"attn{i}_gamma": g for i, g in zip(ATTENDED, gammas, strict=True)}


def _fold_spectral(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Divide `weight_orig` by its largest singular value, as u and v give it.

    PyTorch flattens a weight with its output axis first, which is the second one of a transposed
    convolution.
    """
    if "weight_orig" not in parts:
        return parts
    weight, u = parts["weight_orig"], parts["weight_u"]
    is_transposed = weight.ndim == 4 and weight.shape[-1] > 1
    rows = np.moveaxis(weight, 1, 0) if is_transposed else weight
    sigma = u @ rows.reshape(len(u), -1) @ parts["weight_v"]
    rest = {name: value for name, value in parts.items() if not name.startswith("weight_")}
    return rest | {"weight": weight / sigma}


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Read a .pth state dict. Raises ValueError if it is none, or if PyTorch is not installed."""
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            f"{path}: reading .pth needs PyTorch; install torch, or give an .npz"
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value.numpy() for name, value in state.items()}
    except (OSError, RuntimeError, AttributeError) as error:
        raise ValueError(f"{path} is no state dict: {str(error).splitlines()[0]}") from error


def import_weights(source: Path, target: Path) -> None:
    """Write reference weights in our format. Raises ValueError for what is not the reference's."""
    if source.suffix not in (".npz", ".pth"):
        raise ValueError(f"{source}: weights are an .npz or a .pth file")
    if source.suffix == ".pth":
        arrays = from_state_dict(source, read_state_dict(source))
    else:
        arrays = read_arrays(source)
    save_weights(target, convert(source, arrays))


@dataclass(frozen=True)
class Options:
    """Make a file of our decoder from the reference implementation's weights."""

    source: tyro.conf.Positional[Path]  # reference weights, .npz or .pth
    out: Path = Path("decoder.npz")  # what to write


def main(words: list[str]) -> int:
    """Run the command. -> the exit code: 2 after a wrong input."""
    asked = tyro.cli(Options, args=words, prog="python -m envs.mario.decoder.import_reference")
    try:
        import_weights(asked.source, asked.out)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"written to {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
