"""Tuning: what is searched, the trials on disk that processes share, and the one program."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from drac_jax.runs.execution.runner import Run
from drac_jax.runs.execution.stopping import Interrupted, Stop
from drac_jax.runs.setup import run_setup
from drac_jax.runs.storage.console import Reporter
from experiments import find
from experiments.tuning import search_space, shared_study, tuner, tuning_report
from experiments.tuning.batch_trainer import BatchTrainer, Evaluated
from experiments.tuning.search_space import Span
from experiments.tuning.shared_study import BROKE, JOURNAL, WORKER, Plan, SharedStudy
from tests.support.commands import command, records_of, signal_when, start

pytest.importorskip("optuna")
SPANS = [Span("actor_lr", 1e-4, 1e-3, True), Span("beta", 0.4, 0.8, False)]
QUIET = Reporter(quiet=True)
TINY = [
    *("--algorithm.hidden", 16, 16, "--algorithm.latent-size", 4, "--train.env-steps", 200),
    *("--train.epochs", 2, "--train.batch-size", 32, "--train.learning-starts", 32),
    *("--eval.episodes", 4, "--last-epochs", 1),
    *("--search.beta", 0.4, 0.8, "--search.actor-lr", 1e-4, 1e-3),
]


def plan(trials: int = 8, **changes) -> Plan:
    return Plan(SPANS, trials, False, "tpe", 3, None)._replace(**changes)


def study(folder: Path, trials: int = 8, **changes) -> SharedStudy:
    return SharedStudy(folder, plan(trials, **changes))


def tell(shared: SharedStudy, trials: list, value=lambda params: params["beta"]) -> None:
    for trial in trials:
        shared.tell(trial, [value(trial.params)], [{"seed": 0, "eval/return": 1.0}])


def said_by(*words: object) -> str:
    code, said = command("tune", "multigoal_amortized", *words)
    assert code == 2
    (line,) = [line for line in said.splitlines() if not line.startswith("note: ")]
    return line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "nothing is searched; name bounds: --search.NAME LOWEST HIGHEST"),
        ("--search.batch-size 1 2", "search.batch_size cannot be searched, only floats"),
        ("--search.bet 0.4 0.8", "nearest: beta; use one of actor_lr, critic_lr"),
        ("--search.beta 0.8 0.4", "search.beta=0.8 0.4: the lowest comes first; swap them"),
        ("--search.beta 0.4", "search.beta takes two numbers, the lowest and the highest, not 1"),
        ("--search.beta 0.4 0.9", "search.beta: beta=0.9 must be in (0, 0.8"),
        ("--search.gamma 0.5 1.5", "search.gamma=1.5 must be in (0, 1]"),
        ("--search.actor-lr 0 1", "search.actor_lr=0 must be above 0"),
        ("--search.alpha-lr 0 1 --log alpha-lr", "search.alpha_lr=0 must be above 0 on a log"),
        ("--search.beta 0.4 0.8 --log gamma", "--log gamma is not searched; it is one of beta"),
        ("--search.beta 0.4 0.8 --objective return", "nearest: eval/return; use one of"),
        ("--search.beta 0.4 0.8 --objective critic/loss", "is recorded in no epoch"),
        ("--search.beta 0.4 0.8 --last-epochs 21", "must be at most train.epochs=20"),
        ("--search.beta 0.4 0.8 --batch 0", "--batch=0 must be at least 1"),
        ("--search.beta 0.4 0.8 --trials 0", "--trials=0 must be at least 1"),
        ("--search.beta 0.4 0.8 --stop-share 2", "stop_share=2 must be in (0, 1]"),
        ("--search.beta 0.4 0.8 --chunks 2", "use a smaller --batch instead"),
        ("--search.beta 0.4 0.8 --resume nowhere", "nowhere"),
    ],
)
def test_bad_input_is_answered_in_one_line_before_anything_is_compiled(words, said):
    assert said in said_by(*words.split())


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(shared_study, "optuna", None)
    assert "pip install 'drac_jax[tune]'" in said_by("--search.beta", 0.4, 0.8)


def test_scale_is_logarithmic_for_learning_rates_and_far_bounds_unless_it_is_told():
    bounds = {"actor_lr": (1e-4, 2e-4), "beta": (0.4, 0.8), "alpha_init": (0.01, 1.0)}
    scales = {span.name: span.log for span in search_space.spans(bounds, [], [])}
    assert scales == {"actor_lr": True, "beta": False, "alpha_init": True}
    told = search_space.spans(bounds, ["beta"], ["actor-lr"])
    assert [span.log for span in told] == [False, True, True]


def test_equal_seeds_give_equal_suggestions_within_the_bounds(tmp_path):
    drawn = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / name).mkdir()
        shared, points = study(tmp_path / name, trials=24, seed=seed), []
        with shared.working():
            while trials := shared.ask(8):
                points += [trial.params for trial in trials]
                tell(shared, trials)
        drawn.append(points)
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({json.dumps(point) for point in drawn[0]}) == 24
    assert all(s.low <= p[s.name] <= s.high for p in drawn[0] for s in SPANS)


def test_tpe_finds_the_better_half(tmp_path):
    shared = study(tmp_path, trials=40)
    with shared.working():
        while trials := shared.ask(8):
            tell(shared, trials)
    late = [trial.params["beta"] for trial in shared.finished()[20:]]
    assert np.mean(late) > 0.65
    assert max(shared.importances(), key=shared.importances().get) == "beta"


def test_workers_share_the_trials_that_were_asked_for(tmp_path):
    one, other = study(tmp_path, trials=10), study(tmp_path, trials=10)
    with one.working(), other.working():
        mine, theirs = one.ask(8), other.ask(8)
        assert (len(mine), len(theirs)) == (8, 2)
        assert not {t.number for t in mine} & {t.number for t in theirs}
        assert not {t.params["beta"] for t in mine} & {t.params["beta"] for t in theirs}
        assert one.ask(8) == []  # not those of the other, which lives
        tell(one, mine)
        tell(other, theirs)
    assert len(one.finished()) == len(other.finished()) == 10


def test_trials_of_a_killed_worker_fail_and_their_values_come_again(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from tests.experiments.test_tuning import *\n"
        "shared = study(Path(sys.argv[1]))\n"
        "with shared.working():\n    shared.ask(3); print('asked', flush=True); time.sleep(600)"
    )
    line = [sys.executable, "-c", script, str(tmp_path)]
    worker = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "asked\n"
    shared = study(tmp_path)
    lost = [trial.params for trial in shared.study.get_trials()]
    assert len(lost) == 3
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    with shared.working():
        trials = shared.ask(8)
        assert [trial.params for trial in trials[:3]] == lost and len(trials) == 8
        tell(shared, trials)
        assert shared.ask(8) == []
    states = [trial.state.name for trial in shared.study.get_trials()]
    assert states == ["FAIL"] * 3 + ["COMPLETE"] * 8
    assert len(shared.finished()) == 8


def test_trial_that_breaks_down_counts_and_is_not_tried_again(tmp_path):
    shared = study(tmp_path, trials=2)
    with shared.working():
        good, bad = shared.ask(2)
        shared.break_down(bad, "critic became nan")
        tell(shared, [good])
        assert shared.ask(2) == []
    assert tuning_report.count_states(shared) == "2 trials: 1 to the end, 1 broke down"
    assert shared.why_none() == ": critic became nan"


class _Played:
    """A trainer whose trials score what the test says, epoch by epoch."""

    def __init__(self, scores, broken=(), epochs=4):
        self.scores, self.broken, self.played = scores, broken, 0
        self.setup = type("Setup", (), {"schedule": type("Schedule", (), {"epochs": epochs})})
        self.stop = Stop(QUIET)

    def epochs(self, points):
        for epoch in range(1, self.setup.schedule.epochs + 1):
            self.played += 1
            results = [[{"seed": 0, "eval/return": self.scores(p, epoch)}] for p in points]
            yield Evaluated(epoch, results, [self.broken and "loss" or "" for _ in points])


def work(shared: SharedStudy, trainer, batch: int = 4, **changes) -> None:
    objective = replace(tuner.Objective("eval/return", 2, 1.0), **changes)
    tuner.work(tuner.Session(shared, objective, batch, QUIET), lambda: trainer, lambda: None)


def test_objective_is_the_mean_of_the_last_epochs(tmp_path):
    shared = study(tmp_path, trials=4)
    work(shared, _Played(lambda point, epoch: float(epoch)))
    assert [trial.value for trial in shared.best()] == [3.5] * 4
    assert shared.best()[0].intermediate_values == {1: 1.0, 2: 1.5, 3: 2.5, 4: 3.5}


def test_batch_ends_when_all_of_its_trials_are_pruned(tmp_path):
    shared = study(tmp_path, trials=8, prune_after=1)
    work(shared, _Played(lambda point, epoch: 10.0 + point["beta"]))
    assert len(shared.best()) >= 4
    shared = study(tmp_path, trials=16, prune_after=1)
    worse = _Played(lambda point, epoch: 0.0)
    work(shared, worse)
    assert worse.played == 2  # epochs: two batches, of which each ended after its first
    assert [t.state.name for t in shared.finished()[-8:]] == ["PRUNED"] * 8


def test_trials_of_a_batch_that_stops_are_in_line_again(tmp_path):
    class Stopped(_Played):
        def epochs(self, points):
            yield next(super().epochs(points))
            raise Interrupted("stopped")

    shared = study(tmp_path, trials=4)
    with pytest.raises(Interrupted):
        work(shared, Stopped(lambda point, epoch: 1.0))
    lost = [trial.params for trial in shared.study.get_trials()[:4]]
    work(shared, _Played(lambda point, epoch: 1.0))
    assert [trial.params for trial in shared.finished()] == lost


@pytest.mark.heavy
def test_all_batches_are_one_program_whose_numbers_are_a_sweeps(tmp_path):
    preset = find("multigoal_amortized").config()
    config = replace(
        preset,
        algorithm=replace(preset.algorithm, hidden=(16, 16), latent_size=4),
        train=replace(preset.train, env_steps=200, epochs=2, batch_size=32, learning_starts=32),
        eval=replace(preset.eval, episodes=4, final_episodes=4, sr5_groups=2),
        seeds=2,
    )
    experiment = find("multigoal_amortized")
    stand_in = search_space.stand_in(config, [Span("beta", 0.4, 0.8, False)], 2)
    setup, _ = run_setup.prepare(experiment, stand_in, "default")
    trainer = BatchTrainer(setup, QUIET, Stop(QUIET))
    first = list(trainer.epochs([{"beta": 0.5}, {"beta": 0.6}]))
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if "backend_compile" in name else None
    )
    second = list(trainer.epochs([{"beta": 0.7}]))
    assert compiled == []
    jax.jit(lambda x: x * 3.25)(1.0)
    assert compiled != []  # the listener hears
    grid = replace(config, grid={"beta": (0.5, 0.6)})
    Run(run_setup.prepare(experiment, grid, "default")[0], tmp_path, QUIET).start()
    for epoch in (1, 2):
        sweep = [r["eval/return"] for r in records_of(tmp_path) if r["epoch"] == epoch]
        points = first[epoch - 1].results
        assert [r["eval/return"] for point in points for r in point] == sweep
    assert len(second[0].results) == 1  # the second member stood in
    assert {r["beta"] for r in second[0].results[0]} == {0.7}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> Path:
    """Tune in one go, two batches. -> the study's folder."""
    root = tmp_path_factory.mktemp("tuned")
    words = ("--trials", 4, "--batch", 2, "--study", "s", "--runs-dir", root)
    outcome = command("tune", "multigoal_amortized", *TINY, *words)
    assert outcome.code == 0, outcome.said
    assert outcome.said.count("compiled in") == 2  # when it is, and at the end
    return root / "tune_multigoal_amortized" / "s"


@pytest.mark.slow
def test_study_leaves_table_pictures_and_a_config_that_run_takes(tuned):
    for name in ("slices.png", "importance.png"):
        assert (tuned / name).stat().st_size > 10_000
    best = json.loads((tuned / "best.json").read_text())
    assert f"{best['tuned']['hparams']['beta']:.4g}" in (tuned / "tuning.md").read_text()
    outcome = command("run", "--config", tuned / "best.json", "--dry-run")
    assert outcome.code == 0
    assert f'"beta": {best["tuned"]["hparams"]["beta"]}' in outcome.said


@pytest.mark.slow
def test_finished_study_is_reported_again_and_keeps_its_values(tuned):
    path = tuned / "config.json"
    saved = json.loads(path.read_text())
    del saved["config"]["algorithm"]["critic"]  # as in a study from before there was this option
    path.write_text(json.dumps(saved))
    again = command("tune", "--resume", tuned, "--trials", 4)
    assert again.code == 0 and "compiled" not in again.said
    assert "4 trials: 4 to the end" in again.said
    root = tuned.parent.parent
    words = ("--study", "s", "--runs-dir", root, "--trials", 4, "--seed", 1)
    other = command("tune", "multigoal_amortized", *TINY, *words)
    assert other.code == 2 and "a study keeps its values: config.seed=0, not 1" in other.said


@pytest.mark.slow
def test_killed_study_goes_on_with_the_same_command(tmp_path):
    words = ("tune", "multigoal_amortized", *TINY, "--trials", 6, "--batch", 2)
    words += ("--study", "s", "--runs-dir", tmp_path)
    folder = tmp_path / "tune_multigoal_amortized" / "s"

    def is_in_the_second_batch() -> bool:
        return (folder / JOURNAL).exists() and len(states(folder)) == 4

    killed = signal_when(start(*words), is_in_the_second_batch, signal.SIGKILL)
    assert killed.code == -signal.SIGKILL
    assert "RUNNING" in states(folder)
    assert command(*words).code == 0
    assert states(folder).count("COMPLETE") == 6
    assert set(states(folder)) == {"COMPLETE", "FAIL"}


@pytest.mark.slow
def test_two_processes_share_a_study(tmp_path):
    words = ("tune", "multigoal_amortized", *TINY, "--trials", 12, "--batch", 2)
    words += ("--study", "s", "--runs-dir", tmp_path)
    processes = [start(*words) for _ in range(2)]
    said = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    folder = tmp_path / "tune_multigoal_amortized" / "s"
    trials = study(folder, 12).study.get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 12
    assert len({trial.user_attrs[WORKER] for trial in trials}) == 2
    assert BROKE not in {name for trial in trials for name in trial.user_attrs}


def states(folder: Path) -> list[str]:
    return [trial.state.name for trial in study(folder).study.get_trials()]
