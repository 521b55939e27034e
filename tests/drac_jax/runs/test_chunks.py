"""Sweeps whose members do not fit in memory together train in parts, and lose nothing by it."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from drac_jax.runs.setup import run_setup
from drac_jax.runs import chunks
from drac_jax.runs.storage import run_folder
from drac_jax.training import sweep
from drac_jax.algorithms import DracHParams
from drac_jax.runs.saved_run import load_policy
from experiments import find
from experiments.__main__ import main
from tests.test_runs import EPOCHS, TINY
from tests.support.tolerances import assert_within
from tests.support.tolerances import error_of

SWEEP = ["sweep", *TINY[1:], "--grid.beta", "0.3", "0.6"]  # a part is as large as that run


def test_parts_are_the_members_in_order():
    members = sweep.members(DracHParams(), [3, 4, 5], {"beta": (0.1, 0.2)})
    halves = [sweep.part(members, number, 2) for number in (1, 2)]
    assert [label for half in halves for label in half.labels] == members.labels
    betas = np.concatenate([half.hparams.beta for half in halves])
    np.testing.assert_array_equal(betas, members.hparams.beta)


@pytest.mark.parametrize(
    ("number", "count", "said"),
    [(1, 4, "parts=4 must divide the 6 members; use parts=1 or 2 or 3 or 6"), (3, 2, "part=3")],
)
def test_parts_that_cannot_be_are_refused(number, count, said):
    members = sweep.members(DracHParams(), range(6))
    with pytest.raises(ValueError, match=said):
        sweep.part(members, number, count)


@pytest.mark.parametrize(
    ("fitting", "count"), [(100, 1), (6, 2), (5, 3), (4, 3), (3.5, 4), (0, 12)]
)
def test_there_are_as_few_parts_as_fit_in_memory(monkeypatch, fitting, count):
    experiment = find("multigoal_amortized")
    config = replace(experiment.config(), seeds=12)
    one = run_setup.state_bytes(
        run_setup.abstract_state(run_setup.prepare(experiment, experiment.config(), "default")[0])
    )
    monkeypatch.setattr(run_folder, "free_memory", lambda: fitting * 1.01 * one / run_setup.MEMORY_SHARE)
    assert run_setup.fewest_parts(experiment, config) == count


@pytest.mark.slow
def test_run_in_parts_leaves_what_a_whole_run_leaves(tmp_path, capsys):
    for name, words in {"whole": [], "parted": ["--parts", "2"]}.items():
        assert main([*SWEEP, *words, "--runs-dir", str(tmp_path / name)]) == 0
    (whole,), (parted,) = (
        list((tmp_path / name / "multigoal_amortized").iterdir()) for name in ("whole", "parted")
    )
    ours, theirs = (json.loads((f / "summary.json").read_text()) for f in (parted, whole))
    assert [seed["beta"] for seed in ours["seeds"]] == [0.3, 0.3, 0.6, 0.6]
    for mine, other in zip(ours["seeds"], theirs["seeds"], strict=True):
        assert_within("run in parts", error_of(mine, other))
    records = run_folder.read_records(parted / "metrics.jsonl")
    asked = [(epoch, member) for epoch in range(1, EPOCHS + 1) for member in range(4)]
    assert sorted((record["epoch"], record["member"]) for record in records) == asked
    pictures = {path.name for path in whole.glob("*.png")}
    assert {path.name for path in parted.glob("*.png")} == pictures
    assert (parted / chunks.name_of(2) / "summary.json").exists()
    obs, key = np.zeros(2, np.float32), jax.random.key(0)
    for member in (0, 3):
        mine, other = (load_policy(folder, member)(obs, key) for folder in (parted, whole))
        assert_within("run in parts", error_of(mine, other))
    assert main(["evaluate", str(parted)]) == 2
    assert "is a run in parts; name one" in capsys.readouterr().err
