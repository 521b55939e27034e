"""The notebooks run from their first cell to their last, at toy size."""

from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "experiments" / "notebooks"
# What replaces the cell tagged `parameters`.
TOY = {
    "train": """
REPOSITORY = ""
EXPERIMENT = "multigoal_amortized"
ARGS = (
    "--preset fast --seeds 2 --algorithm.hidden 8 8 --algorithm.num-samples 3 "
    "--train.env-steps 1000 --train.epochs 1 --train.batch-size 8 --train.learning-starts 1 "
    "--eval.episodes 4 --eval.final-episodes 4 --eval.sr5-groups 2"
)
SWEEP_STEPS = 300
RUNS = "{folder}"
""",
    "benchmark": """
REPOSITORY = ""
SUITES = {{"diversity": "--batch 64 --calls 1 --repeats 1"}}
OUT = "{folder}"
""",
}
MARKS = {"train": pytest.mark.slow, "benchmark": pytest.mark.heavy}
PICTURES = {"train": 3, "benchmark": 1}


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def test_every_notebook_is_played():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(TOY)


@pytest.mark.parametrize("name", TOY)
def test_notebook_is_kept_without_outputs(name):
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS[name]) for name in TOY])
def test_notebook_runs_to_its_end(name, tmp_path):
    notebook = read(name)
    (parameters,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    parameters.source = TOY[name].format(folder=tmp_path)
    resources = {"metadata": {"path": str(NOTEBOOKS)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    shown = str([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
    assert shown.count("image/png") == PICTURES[name]
    assert "error:" not in shown
