"""The notebooks run from their first cell to their last, at toy size."""

import re
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "experiments" / "notebooks"
SMALL = (
    "--preset fast --seeds 2 --algorithm.hidden 8 8 --algorithm.num-samples 3 "
    "--train.env-steps 1000 --train.epochs 1 --train.batch-size 8 --train.learning-starts 1 "
    "--eval.episodes 4 --eval.final-episodes 4 --eval.sr5-groups 2"
)
# The values that take the place of a notebook's own.
TOY: dict[str, dict[str, Any]] = {
    "train": {"RUN": SMALL, "SWEEP": f"{SMALL} --grid.beta 0.3 0.6", "RUNS": "runs"},
    "drac_step_by_step": {"ENV_STEPS": 2_000, "HIDDEN": (8, 8)},
    "benchmark": {"SUITES": {"diversity": "--batch 64 --calls 1 --repeats 1"}, "OUT": "bench"},
}
FOLDERS = {"RUNS", "OUT"}  # of them, those that are folders
MARKS = {
    "train": pytest.mark.slow,
    "drac_step_by_step": pytest.mark.slow,
    "benchmark": pytest.mark.heavy,
}
PICTURES = {"train": 4, "drac_step_by_step": 8, "benchmark": 1}


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def test_every_notebook_is_played():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(TOY)


@pytest.mark.parametrize("name", TOY)
def test_notebook_is_kept_without_outputs(name):
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_training_takes_three_cells():
    assert [cell.cell_type for cell in read("train").cells].count("code") == 3


def set_value(notebook: nbformat.NotebookNode, name: str, value: Any) -> None:
    """Assign another value where a notebook assigns one to `name`, in a line."""
    line = re.compile(rf"^{name} = .*$", re.MULTILINE)
    (cell,) = [cell for cell in notebook.cells if line.search(cell.source)]
    cell.source, count = line.subn(lambda _: f"{name} = {value!r}", cell.source)
    assert count == 1


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS[name]) for name in TOY])
def test_notebook_runs_to_its_end(name, tmp_path):
    notebook = read(name)
    for key, value in TOY[name].items():
        set_value(notebook, key, str(tmp_path / value) if key in FOLDERS else value)
    resources = {"metadata": {"path": str(ROOT)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    shown = str([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
    assert shown.count("image/png") == PICTURES[name]
    assert "error:" not in shown
