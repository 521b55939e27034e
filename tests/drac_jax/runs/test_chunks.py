"""Sweeps whose members do not fit in memory together train in chunks, and lose nothing by it."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from drac_jax.algorithms import DracHParams
from drac_jax.runs.hardware import machine
from drac_jax.runs.saved_agent import load_policy
from drac_jax.runs.setup import run_setup
from drac_jax.runs.storage import run_folder
from drac_jax.training import sweep
from experiments import find
from experiments.cli.main import main
from tests.support.commands import EPOCHS, TINY
from tests.support.tolerances import assert_within, error_of

SWEEP = ["sweep", *TINY[1:], "--grid.beta", "0.3", "0.6"]  # a part is as large as that run


def test_parts_are_the_members_in_order():
    members = sweep.members(DracHParams(), [3, 4, 5], {"beta": (0.1, 0.2)})
    halves = [sweep.chunk(members, number, 2) for number in (1, 2)]
    assert [label for half in halves for label in half.labels] == members.labels
    betas = np.concatenate([half.hparams.beta for half in halves])
    np.testing.assert_array_equal(betas, members.hparams.beta)


@pytest.mark.parametrize(
    ("number", "count", "said"),
    [(1, 4, "chunks=4 must divide the 6 members; use chunks=1 or 2 or 3 or 6"), (3, 2, "chunk=3")],
)
def test_parts_that_cannot_be_are_refused(number, count, said):
    members = sweep.members(DracHParams(), range(6))
    with pytest.raises(ValueError, match=said):
        sweep.chunk(members, number, count)


@pytest.mark.parametrize(
    ("fitting", "count"), [(100, 1), (6, 2), (5, 3), (4, 3), (3.5, 4), (0, 12)]
)
def test_there_are_as_few_chunks_as_fit_in_memory(monkeypatch, fitting, count):
    experiment = find("multigoal_amortized")
    config = replace(experiment.config(), seeds=12)
    one = run_setup.state_bytes(
        run_setup.abstract_state(run_setup.prepare(experiment, experiment.config(), "default")[0])
    )
    monkeypatch.setattr(
        machine, "free_memory", lambda: fitting * 1.01 * one / run_setup.MEMORY_SHARE
    )
    assert run_setup.fewest_chunks(experiment, config) == count


@pytest.mark.slow
def test_run_in_parts_leaves_what_a_whole_run_leaves(tmp_path, capsys):
    for name, words in {"whole": [], "chunked": ["--chunks", "2"]}.items():
        assert main([*SWEEP, *words, "--runs-dir", str(tmp_path / name)]) == 0
    (whole,), (chunked,) = (
        list((tmp_path / name / "multigoal_amortized").iterdir()) for name in ("whole", "chunked")
    )
    ours, theirs = (json.loads((f / "summary.json").read_text()) for f in (chunked, whole))
    assert [seed["beta"] for seed in ours["seeds"]] == [0.3, 0.3, 0.6, 0.6]
    for mine, other in zip(ours["seeds"], theirs["seeds"], strict=True):
        assert_within("sweep in chunks", error_of(mine, other))
    records = run_folder.read_records(chunked / "metrics.jsonl")
    asked = [(epoch, member) for epoch in range(1, EPOCHS + 1) for member in range(4)]
    assert sorted((record["epoch"], record["member"]) for record in records) == asked
    pictures = {path.name for path in whole.glob("*.png")}
    assert {path.name for path in chunked.glob("*.png")} == pictures
    assert (chunked / "chunk_2" / "summary.json").exists()
    obs, key = np.zeros(2, np.float32), jax.random.key(0)
    for member in (0, 3):
        mine, other = (load_policy(folder, member)(obs, key) for folder in (chunked, whole))
        assert_within("sweep in chunks", error_of(mine, other))
    assert main(["evaluate", str(chunked)]) == 2
    assert "is a sweep in chunks; name one" in capsys.readouterr().err
