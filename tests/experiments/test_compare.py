"""Comparisons through the command line: bad input, what they leave, and how they go on."""

import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import envs
from drac_jax.algorithms.registry import METHODS, Method
from drac_jax.figures import method_curves, method_table
from drac_jax.measures import seed_statistics
from drac_jax.runs.saved_agent import load_policy
from drac_jax.runs.setup import dry_run
from drac_jax.runs.setup.experiment import Experiment, RunConfig
from drac_jax.runs.storage.console import Reporter
from drac_jax.training.schedule import TrainConfig
from experiments import EXPERIMENTS, find
from experiments.studies import study_tables
from tests.support.commands import Outcome, command, records_of, saved_epochs, summary_of
from tests.support.toys import countdown

ALGOS, SEEDS, EPOCHS = ("amortized", "paired"), 3, 3
TINY = (
    "--preset default --algorithm.hidden 8 8 --algorithm.latent-size 2 --train.env-steps 200 "
    f"--train.epochs {EPOCHS} --train.batch-size 16 --train.learning-starts 16 "
    "--eval.episodes 4 --eval.final-episodes 4 --eval.sr5-groups 2"
).split()
TWO = ["compare", "toy", "--algos", *ALGOS, "--seeds", SEEDS, *TINY, "--paired.seeds", 2]


@dataclass(frozen=True)
class PlainOptions:
    """A method that has none."""


@struct.dataclass
class PlainHParams:
    """A method without beta."""

    gamma: float = 0.9


@pytest.fixture(scope="module", autouse=True)
def domains() -> Iterator[None]:
    """Add a domain `toy` of two methods that run and one that cannot, and `flat` without goals."""
    real = find("multigoal_amortized")
    default = real.config()
    paired = replace(default.algorithm, estimator="paired", num_samples=3)
    plain = RunConfig(default.env, PlainOptions(), PlainHParams())
    flat = replace(default, env=PlainOptions(), train=TrainConfig(env_steps=200, epochs=EPOCHS))
    flat_env = envs.batch(countdown(), pool_size=4)
    experiments = [
        replace(real, name="toy_amortized"),
        replace(real, name="toy_paired", presets={"default": replace(default, algorithm=paired)}),
        replace(real, name="toy_plain", method="plain", presets={"default": plain}),
        *(
            Experiment(f"flat_{algo}", "", "amortized", lambda *_: flat_env, {"default": flat})
            for algo in ALGOS
        ),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "plain", Method("plain", PlainOptions(), PlainHParams(), None, None))
        for experiment in experiments:
            patch.setitem(EXPERIMENTS, experiment.name, experiment)
        yield


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("", ["compare needs a domain", "--algos"]),
        ("multigaol", ["'multigaol'", "nearest: multigoal_"]),
        ("toy_paired", ["toy_paired is an experiment", "leave its method out"]),
        ("toy --algos amortised", ["'toy_amortised'", "nearest: toy_amortized"]),
        ("toy --algos", ["--algos", "at least one"]),
        ("toy --algos paired paired", ["paired is named twice"]),
        ("toy amortized paired", ["'amortized'", "--algos"]),
        ("toy --preset slow", ["toy_amortized: preset='slow'", "paper"]),
        ("toy --algos paired --preset fast --seeds 2", ["toy_paired: preset='fast'", "default"]),
        (
            "toy --seeds 2 --hparams.beta 0.5",
            ["toy_plain: ", "not take --hparams.beta 0.5", "--amortized.hparams.beta 0.5"],
        ),
        ("toy --algos amortized paired --hparams.beta 0.9", ["toy_amortized: beta=0.9", "0.834"]),
        ("toy --algos amortized paired --paired.hparams.beta 0.9", ["toy_paired: beta=0.9"]),
        ("toy --algos amortized paired --paired.hparams.bet 0.9", ["toy_paired: ", ".beta"]),
        ("toy --algos amortized paired --train.num-envs many", ["toy_amortized: ", "many"]),
        (
            "toy --algos amortized paired --sac.seeds 2",
            ["sac is not compared", "amortized, paired"],
        ),
        ("toy --algos amortized paired --grid.beta 0.2", ["--grid.beta", "use sweep"]),
        ("toy --algos amortized paired --paired.grid.beta 0.2", ["use sweep"]),
        (
            "toy --algos amortized paired --paired.env.metric euclidean",
            ["paired would play another task: env.metric=linf, not euclidean"],
        ),
    ],
)
def test_comparison_that_cannot_be_run_is_refused_with_a_fix(words, parts, tmp_path):
    outcome = command("compare", *words.split(), "--runs-dir", tmp_path / "runs")
    assert outcome.code == 2
    assert outcome.said.startswith("error: ")
    assert outcome.said.count("\n") == 1
    assert [part for part in parts if part not in outcome.said] == []
    assert not (tmp_path / "runs").exists()


def test_folder_that_is_no_comparison_cannot_be_resumed(tmp_path):
    outcome = command("compare", "--resume", tmp_path)
    assert outcome.code == 2
    assert "it has no compare.json" in outcome.said


def test_cells_hold_mean_iqm_and_intervals():
    returns = [-40.0, 1.0, 2.0, 3.0, 1034.0]
    seeds = [{"eval/return": value} for value in returns]
    heading, row, single = method_table.table({"a": seeds, "b": seeds[1:2]})
    assert heading == ["method", "seeds", "return"]
    assert single == ["b", "1", "1.00"]
    (low, high), (lower, upper) = (
        seed_statistics.interval(returns, f) for f in (seed_statistics.mean, seed_statistics.iqm)
    )
    assert row[2] == f"200 [{low:.0f}, {high:.0f}]\n2 [{lower:.0f}, {upper:.0f}]"
    lines = method_table.markdown([heading, row, single]).splitlines()
    assert lines[1] == "| --- | ---: | ---: |"
    assert lines[2] == f"| a | 5 | {row[2].replace(chr(10), '<br>')} |"


def test_seed_that_is_drawn_has_the_median_score():
    names = ("eval/multi_goal_score", "eval/arrival_rate", "eval/return")
    rows = [(1.0, 1.0, 9.0), (0.2, 0.2, 1.0), (0.6, 0.9, 3.0), (0.6, 0.8, 4.0), (0.1, 0.1, 0.0)]
    seeds = [dict(zip(names, row, strict=True)) for row in rows]
    assert method_curves.median_member(seeds) == 3
    assert method_curves.median_member(seeds[:2]) == 1


def only_in(runs: Path, domain: str) -> Path:
    (folder,) = (runs / f"compare_{domain}").iterdir()
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Outcome]:
    """A comparison that nobody disturbed: its folder, and what it said."""
    runs = tmp_path_factory.mktemp("finished")
    outcome = command(*TWO, "--runs-dir", runs)
    assert outcome.code == 0, outcome.said
    return only_in(runs, "toy"), outcome


def interrupting(after: int):
    """Make a Reporter.log that asks to stop in a number of epochs from now."""
    left = iter(range(after - 1, -1, -1))

    def log(self: Reporter, records: list) -> None:
        if next(left, -1) == 0:
            signal.raise_signal(signal.SIGINT)

    return log


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory) -> tuple[Path, list[Outcome]]:
    """The same, stopped in the second epoch of the first method and in its last one."""
    runs = tmp_path_factory.mktemp("disturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reporter, "log", interrupting(2))
        outcomes = [command(*TWO, "--runs-dir", runs)]
        folder = only_in(runs, "toy")
        patch.setattr(Reporter, "log", interrupting(1))
        outcomes.append(command("compare", "--resume", folder))
    # What a kill before the first checkpoint leaves of the second method:
    (folder / "paired").mkdir()
    (folder / "paired" / "metrics.jsonl").write_text('{"epoch": 1, "member": 0}\n')
    outcomes.append(command("compare", "--resume", folder))
    return folder, outcomes


@pytest.mark.heavy
def test_each_method_leaves_a_run_that_can_be_used_alone(finished):
    folder, _ = finished
    for algo, seeds in zip(ALGOS, (SEEDS, 2), strict=True):
        assert [result["seed"] for result in summary_of(folder / algo)["seeds"]] == [*range(seeds)]
        assert saved_epochs(folder / algo) == [EPOCHS - 1, EPOCHS]
        assert load_policy(folder / algo, member=1)(jnp.zeros(2), jax.random.key(0)).shape == (2,)


@pytest.mark.heavy
def test_comparison_leaves_its_table_and_pictures(finished):
    folder, outcome = finished
    for name in ("curves.png", "trajectories.png"):
        assert (folder / name).stat().st_size > 0
    text = (folder / "compare.md").read_text()
    assert text.startswith("# toy\n\n`python -m experiments compare toy --algos amortized paired ")
    goals = [seed["eval/reachable_modes"] for seed in summary_of(folder / "amortized")["seeds"]]
    row = next(line for line in text.splitlines() if line.startswith("| amortized |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["amortized", "3", ", ".join(map(str, goals))]
    returns = [seed["eval/return"] for seed in summary_of(folder / "amortized")["seeds"]]
    assert cells[3].split()[0].replace(",", "") in (
        f"{np.mean(returns):.2f}",
        f"{np.mean(returns):.0f}",
    )
    assert all(line in outcome.said for line in cells[3].split("<br>"))
    measured = summary_of(folder / "amortized")["seeds"][0].keys() & method_table.MEASURES.keys()
    titles = [title for name, title in method_table.MEASURES.items() if name in measured]
    heading = ["method", "seeds", "goals", *titles]
    assert len(titles) == 5
    assert f"| {' | '.join(heading)} |" in text
    assert all(word in outcome.said for word in heading)


@pytest.mark.heavy
def test_episodes_are_kept_as_they_were_counted(finished):
    for algo in ALGOS:
        episodes = np.load(finished[0] / algo / "episodes.npz")
        seeds = summary_of(finished[0] / algo)["seeds"]
        assert episodes["paths"].shape[:2] == (len(seeds), 4)
        assert episodes["paths"].shape[3] == 2
        assert episodes["paths"].dtype == np.float32
        means = [seed["eval/return"] for seed in seeds]
        np.testing.assert_allclose(episodes["returns"].mean(1), means, rtol=1e-5)
        rates = [seed["eval/arrival_rate"] for seed in seeds]
        np.testing.assert_allclose((episodes["goals"] > 0).mean(1), rates)


@pytest.mark.heavy
def test_finished_comparison_draws_again_and_trains_nothing(finished):
    folder, first = finished
    before = (folder / "paired" / "summary.json").stat().st_mtime_ns
    text = (folder / "compare.md").read_text()
    for name in ("curves.png", "trajectories.png", "compare.md"):
        (folder / name).unlink()
    outcome = command("compare", "--resume", folder)
    assert outcome.code == 0, outcome.said
    assert "compil" not in outcome.said
    assert all((folder / name).exists() for name in ("curves.png", "trajectories.png"))
    assert (folder / "compare.md").read_text() == text
    assert (folder / "paired" / "summary.json").stat().st_mtime_ns == before


@pytest.mark.heavy
def test_resumed_comparison_keeps_its_words(finished):
    folder, _ = finished
    assert command("compare", "toy", "--algos", *ALGOS, "--resume", folder).code == 0
    for words, name in [
        (["flat"], "domain"),
        (["--algos", "paired"], "algos"),
        (["--seeds", 9], "words"),
    ]:
        outcome = command("compare", *words, "--resume", folder)
        assert outcome.code == 2
        assert f"keeps its {name}" in outcome.said


@pytest.mark.heavy
def test_stop_says_how_to_go_on(disturbed):
    folder, (first, second, last) = disturbed
    assert [first.code, second.code, last.code] == [130, 130, 0], last.said
    assert f"stopped after epoch 2 of {EPOCHS}" in first.said
    assert "stopped after amortized" in second.said
    for outcome in (first, second):
        assert f'go on with: make compare ARGS="--resume {folder}"' in outcome.said


@pytest.mark.heavy
def test_disturbed_comparison_goes_on_where_it_was(disturbed):
    _, (_, second, last) = disturbed
    assert f"after epoch 2 of {EPOCHS}" in second.said
    assert "toy_amortized" not in last.said
    assert "1 of 1: toy_paired" in last.said


@pytest.mark.heavy
def test_disturbed_comparison_ends_as_the_undisturbed_one(finished, disturbed):
    for algo in ALGOS:
        ours, theirs = disturbed[0] / algo, finished[0] / algo
        assert summary_of(ours)["seeds"] == summary_of(theirs)["seeds"]
        steps = [[r["env_steps"] for r in records_of(folder)] for folder in (ours, theirs)]
        assert steps[0] == steps[1]
    ours, theirs = ((folder / "compare.md").read_text() for folder in (disturbed[0], finished[0]))
    assert ours == theirs


@pytest.mark.heavy
def test_table_of_the_records_is_that_of_the_comparison(finished, tmp_path):
    folder, _ = finished
    shutil.copy(folder / "compare.json", tmp_path)
    for algo in ALGOS:
        shutil.copy(folder / algo / "summary.json", tmp_path / f"{algo}.json")
    assert study_tables.table_of(tmp_path) in (folder / "compare.md").read_text()


@pytest.fixture(scope="module")
def flat(tmp_path_factory) -> tuple[Path, Outcome]:
    """A comparison without goals and with one seed, one of whose methods breaks down."""
    runs = tmp_path_factory.mktemp("flat")
    words = [*TINY, "--hparams.beta", 0.3, "--paired.hparams.critic-lr", "1e30", "--runs-dir", runs]
    outcome = command("compare", "flat", "--algos", *reversed(ALGOS), *words)
    assert (runs / "compare_flat").exists(), outcome.said
    return only_in(runs, "flat"), outcome


@pytest.mark.heavy
def test_task_without_goals_has_returns_alone_and_no_map(flat):
    folder, _ = flat
    lines = (folder / "compare.md").read_text().splitlines()
    assert "| method | seeds | return |" in lines
    (seed,) = summary_of(folder / "amortized")["seeds"]
    assert f"| amortized | 1 | {seed['eval/return']:.2f} |" in lines
    assert (folder / "curves.png").exists()
    assert not list(folder.rglob("trajectories.png")) + list(folder.rglob("episodes.npz"))


@pytest.mark.heavy
def test_method_that_breaks_down_does_not_stop_the_others(flat):
    folder, outcome = flat
    assert outcome.code == 2
    assert re.search(r"note: paired broke down and is not in the table: .* became", outcome.said)
    assert (folder / "amortized" / "summary.json").exists()
    assert not (folder / "paired" / "summary.json").exists()


def test_dry_run_describes_every_method_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(dry_run, "estimate", lambda setup: (0.0, 0.0))
    outcome = command(*TWO, "--dry-run", "--runs-dir", tmp_path / "runs")
    assert outcome.code == 0, outcome.said
    assert "x 3 member(s)" in outcome.said
    assert "x 2 member(s)" in outcome.said
    assert not (tmp_path / "runs").exists()
