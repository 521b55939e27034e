"""Runs that go on for longer, or with other hyperparameters, than they began with."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from drac_jax.runs.saved_agent import load_agent
from drac_jax.runs.setup import segments
from drac_jax.training.schedule import TrainConfig, make_schedule
from experiments import find
from tests.support.commands import (
    ENV_STEPS,
    EPOCHS,
    SEEDS,
    TINY,
    command,
    only_run_in,
    records_of,
    saved_arrays,
    saved_epochs,
    signal_when,
    start,
    summary_of,
    without_times,
)

MORE = 2  # epochs
EACH = 61  # env steps of an epoch
LONG = [
    *TINY,
    *("--train.env-steps", str(ENV_STEPS + MORE * EACH)),
    *("--train.epochs", str(EPOCHS + MORE)),
]


def planned(runs: Path, *words: object) -> Path:
    """Train a run that is long from the start."""
    outcome = command(*LONG, "--runs-dir", runs, *words)
    assert outcome.code == 0, outcome.said
    return only_run_in(runs)


def same(folder: Path, other: Path, epoch: int) -> bool:
    """Say whether records, final evaluations and the states at the end are the same bits."""
    assert without_times(records_of(folder)) == without_times(records_of(other))
    assert summary_of(folder)["seeds"] == summary_of(other)["seeds"]
    arrays = saved_arrays(folder, epoch), saved_arrays(other, epoch)
    return all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))


def copy_of(folder: Path, place: Path) -> Path:
    shutil.copytree(folder, place)
    return place


@pytest.fixture(scope="module")
def long_run(tmp_path_factory) -> Path:
    return planned(tmp_path_factory.mktemp("planned"))


@pytest.mark.heavy
def test_an_extended_run_is_the_one_that_was_planned_long_bit_for_bit(finished, long_run, tmp_path):
    folder = copy_of(finished.folder, tmp_path / "run")
    outcome = command("run", "--resume", folder, "--train.env-steps", 520)
    assert outcome.code == 0, outcome.said
    assert "note: train.env_steps=522 in train.epochs=8, as long as those before" in outcome.said
    assert "from here on: train.env_steps from 400 to 522, train.epochs from 6 to 8" in outcome.said
    assert same(folder, long_run, EPOCHS + MORE)
    record = json.loads((folder / "config.json").read_text())
    changed = {"train.env_steps": [400, 522], "train.epochs": [6, 8]}
    assert record["segments"] == [{"after_epoch": EPOCHS, "changed": changed}]
    assert record["config"] == json.loads((long_run / "config.json").read_text())["config"]
    former = summary_of(finished.folder)
    assert json.loads((folder / f"summary_epoch_{EPOCHS:04}.json").read_text()) == former
    assert command("run", "--resume", folder).code == 0  # and again it keeps its values


@pytest.mark.heavy
def test_a_killed_extension_goes_on_and_knows_its_checkpoints(finished, long_run, tmp_path):
    folder = copy_of(finished.folder, tmp_path / "run")
    killed = signal_when(
        start("run", "--resume", folder, "--train.epochs", EPOCHS + MORE),
        lambda: "segments" in json.loads((folder / "config.json").read_text()),
        9,
    )
    assert killed.code == -9 and not (folder / "summary.json").exists()
    load_agent(folder, 0)
    assert command("evaluate", folder, "--eval.final-episodes", 2).code == 0
    outcome = command("run", "--resume", folder)
    assert outcome.code == 0, outcome.said
    assert same(folder, long_run, EPOCHS + MORE)


@pytest.mark.slow
def test_a_ring_without_next_obs_is_extended_from_before_its_end(tmp_path):
    plain = ("--train.no-store-next-obs",)
    long_one = planned(tmp_path / "planned", *plain)
    assert command(*TINY, "--runs-dir", tmp_path / "short", *plain).code == 0
    folder = only_run_in(tmp_path / "short")
    outcome = command("run", "--resume", folder, "--train.epochs", EPOCHS + MORE)
    assert "the last update of epoch 6 drew from a full replay" in outcome.said
    assert "after epoch 5 of 8" in outcome.said
    assert same(folder, long_one, EPOCHS + MORE)


@pytest.mark.slow
def test_other_hyperparameters_are_a_segment_and_change_what_is_learnt(finished, tmp_path):
    folder = copy_of(finished.folder, tmp_path / "run")
    words = ("--hparams.actor-lr", "1e-5", "--train.epochs", EPOCHS + 1)
    outcome = command("run", "--resume", folder, *words)
    assert outcome.code == 0, outcome.said
    (segment,) = json.loads((folder / "config.json").read_text())["segments"]
    assert segment["changed"]["hparams.actor_lr"][1] == 1e-5
    _, agent = load_agent(folder, 1)
    assert float(agent.hparams.actor_lr) == np.float32(1e-5)
    assert saved_epochs(folder)[-1] == EPOCHS + 1 and len(records_of(folder)) == SEEDS * 7
    again = command("run", "--resume", folder, "--hparams.actor-lr", "1e-6", "--train.epochs", 8)
    assert again.code == 0, again.said
    record = json.loads((folder / "config.json").read_text())
    assert [s["after_epoch"] for s in record["segments"]] == [EPOCHS, EPOCHS + 1]
    default = find("multigoal_amortized").config()
    learning_rates = [c.hparams.actor_lr for c in segments.recorded(record, default)]
    assert learning_rates == [default.hparams.actor_lr, 1e-5, 1e-6]
    assert (folder / "curves.png").stat().st_mtime >= (folder / "metrics.jsonl").stat().st_mtime


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--train.env-steps", 300),
            "train.env_steps=300 is below 400, which the run has: it can only grow",
        ),
        (("--train.epochs", 5), "train.epochs=5 is below 6, which the run has"),
        (("--hparams.alpha-init", 3), "hparams.alpha_init only says where a run begins"),
        (("--hparams.beta", 0.3), "the run has come to its end; give more --train.env-steps"),
        (("--train.batch-size", 64), "train.batch_size=32, not 64; only train.env_steps"),
        (
            ("--train.epochs", 8, "--train.env-steps", 600),
            "train.env_steps=600 is not 8 epochs of 61 env steps; use train.env_steps=522",
        ),
    ],
)
def test_what_cannot_change_is_refused_in_one_line(finished, words, said):
    before = (finished.folder / "config.json").read_text()
    outcome = command("run", "--resume", finished.folder, *words)
    assert outcome.code == 2
    assert said in outcome.said.splitlines()[-1]
    assert (finished.folder / "config.json").read_text() == before


def test_a_schedule_over_the_budget_is_said_to_differ():
    @dataclass(frozen=True, kw_only=True)
    class Scheduled(TrainConfig):
        lr_schedule: str = "linear"

    experiment = find("multigoal_amortized")
    kept = replace(experiment.config(), train=Scheduled())
    asked = replace(kept, train=replace(kept.train, epochs=kept.train.epochs + 1))
    notes = segments.extend(experiment, kept, asked)[1]
    assert "train.lr_schedule=linear follows the budget" in notes[-1]


def extended(steps: int, **train: int) -> tuple:
    """-> the schedules of DACER's run before and after, whose slow updates round epochs."""
    experiment = find("multigoal_dacer")
    kept = experiment.config()
    kept = replace(kept, train=replace(kept.train, **train))
    asked = replace(kept, train=replace(kept.train, env_steps=kept.train.env_steps + steps))
    period = kept.algorithm.entropy_period
    config, _ = segments.extend(experiment, kept, asked)
    return make_schedule(kept.train, period), make_schedule(config.train, period), config


@pytest.mark.parametrize("num_envs", [1, 3, 16])
@pytest.mark.parametrize("env_steps", [20_000, 54_321, 123_456])
@pytest.mark.parametrize("steps", [1, 5_000, 77_777])
def test_an_extension_has_the_epochs_of_the_run(num_envs, env_steps, steps):
    before, after, config = extended(steps, num_envs=num_envs, env_steps=env_steps, epochs=9)
    assert after == before._replace(epochs=after.epochs)
    each = before.iterations_per_epoch * config.train.steps_per_iteration * num_envs
    assert after.epochs > before.epochs
    assert abs(config.train.env_steps - env_steps - steps) <= max(each / 2, each - steps)
    assert config.train.env_steps - env_steps == (after.epochs - before.epochs) * each
