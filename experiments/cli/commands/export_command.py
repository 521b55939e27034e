"""The command `export`: a trained policy as a file that plays without this project."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from drac_jax import ranges
from drac_jax.runs.export import policy_file
from drac_jax.runs.export.policy_file import Exported
from drac_jax.runs.pretrained import shipped
from experiments.cli.options import parsing


@dataclass(frozen=True)
class Export:
    """Write a trained policy as a file that plays without this project, checked against it.

    Example: python -m experiments export runs/ant_amortized/<id> --to numpy
    """

    folder: Positional[Path]  # of the run, or pretrained:NAME
    # onnx: for any ONNX runtime (extra `export`); jax: StableHLO, for CPU and CUDA; numpy: an .npz
    # with a loader of a page that needs NumPy alone.
    to: Literal["onnx", "jax", "numpy"]
    member: int = 0  # which of the run's seeds and grid points, from 0
    mode: Literal["sample", "mode"] = "sample"  # draws an action of a latent, or has one action
    out: Path | None = None  # the file; export/member_<member>_<mode> in the run's folder
    force: bool = False  # write over files that exist


def export(words: list[str], began: float) -> int:
    """Export one policy. -> the exit code."""
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        raise ValueError(f"export needs the folder of a run: {parsing.PROGRAM} export FOLDER")
    asked = parsing.parse(Export, words, f"{parsing.PROGRAM} export")
    ranges.check_number("member", asked.member, "--member")
    folder = shipped.copied(str(asked.folder))
    done = policy_file.export(folder, asked.to, asked.member, asked.mode, asked.out, asked.force)
    print(describe(done))
    return 0


def describe(done: Exported) -> str:
    """Say what was written, and how near its actions are."""
    about = done.about
    inputs = f"obs [N, {about['obs_size']}]"
    if about["mode"] == "sample":
        inputs += f", latent [N, {about['latent_size']}]"
    ties = f"; {done.ties} took another sample of the same value" if done.ties else ""
    return (
        f"{done.path}: {inputs} -> action [N, {about['action_size']}]\n"
        f"largest error of an action, {policy_file.ROWS} observations: {done.error:.1e}{ties}"
    )
