"""The benchmarks' own machinery: who takes part, and what is written down."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from experiments.cli.main import main
from experiments.throughput import timing
from experiments.throughput.suites import diversity_kernel, drac_update


def asked(torch_python: str | None) -> drac_update.Options:
    return drac_update.Options(torch_python=torch_python, batch=8, hidden=(8,), calls=1)


@pytest.mark.parametrize(
    ("python", "why"),
    [(None, "no --torch-python"), ("no/such/python", "No such file"), (sys.executable, "torch")],
)
def test_contender_that_is_not_installed_is_left_out_and_named(python, why):
    if python == sys.executable and importlib.util.find_spec("torch"):
        pytest.skip("torch is installed here")
    made, _, facts = drac_update.torch_contenders(asked(python))
    assert made == []
    assert facts.keys() == drac_update.TORCH.keys()
    ours = [timing.Timing("ours", 1.0, [1.0])]
    text = drac_update.describe(ours, {2: 1.0}, facts, asked(python), len(ours))
    for name, said in facts.items():
        assert why in said
        assert f"Left out: {name}" in text


def test_contenders_take_turns_and_may_time_themselves():
    turns = []
    contenders = [
        timing.Contender("a", lambda: turns.append("a"), 2),
        timing.Contender("b", lambda: turns.append("b") or timing.Seconds(0.25)),
    ]
    a, b = timing.side_by_side(contenders, 3)
    assert turns == ["a", "b"] * 4
    assert b.seconds == [0.25] * 3
    assert a.median == np.median(a.seconds) < 0.25


@pytest.mark.heavy
def test_diversity_suite_leaves_figures_table_and_bars(tmp_path):
    words = ["--batch", "64", "--calls", "1", "--repeats", "2", "--out", str(tmp_path)]
    assert main(["bench", "diversity", *words]) == 0
    written = {path.suffix: path for path in tmp_path.iterdir()}
    assert written.keys() == {".json", ".md", ".png"}
    record = json.loads(written[".json"].read_text())
    assert all(len(record[name]) == 2 for name in (diversity_kernel.COPY, *diversity_kernel.FORMS))
    assert {"versions", "device", "processor", "command", "cores"} <= record.keys()
    assert f"| {diversity_kernel.COPY} |" in written[".md"].read_text()


@pytest.mark.slow
def test_accelerator_suite_breaks_down_nowhere(tmp_path):
    assert main(["bench", "accelerator", "--toy", "--repeats", "1", "--out", str(tmp_path)]) == 0
    rows = dict(json.loads((tmp_path / "accelerator.json").read_text())["rows"])
    assert len(rows) == 3
    assert not any("broke down" in said for said in rows.values())
    assert (tmp_path / "paper").is_dir() and (tmp_path / "diversity").is_dir()
