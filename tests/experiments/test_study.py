"""Studies: the queue on disk, the records, and the claims."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drac_jax.algorithms.registry import METHODS
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.storage import run_folder, run_lock
from drac_jax.runs.storage.console import Reporter
from experiments.cli.main import main
from experiments.studies import method_overview as overview
from experiments.studies import run_queue, run_record, slurm_jobs, study_report
from experiments.studies.catalogue import STUDIES, TRIAL
from experiments.studies.study import AtLeast, AtLeastTimes


def finals(**returns: list[float]) -> dict:
    """Make final evaluations: task_label -> returns of its seeds."""
    return {
        tuple(name.split("_")): [{"eval/return": value} for value in values]
        for name, values in returns.items()
    }


@pytest.mark.parametrize(
    ("values", "word"),
    [([5.0, 6.0, 7.0], "pass"), ([5.0, 5.5, 9.0], "fail"), ([9.0, 9.0], "not enough seeds")],
)
def test_claim_of_a_value_is_about_the_median_seed(values, word):
    claim = AtLeast("ant", "sac", "eval/return", 6.0, seeds=3)
    assert claim.check(finals(ant_sac=values)).word == word


@pytest.mark.parametrize(
    ("values", "word"),
    [([6.0] * 8 + [0.0] * 2, "pass"), ([6.0] * 7 + [0.0] * 3, "fail"), ([6.0] * 9, "not enough")],
)
def test_claim_of_a_value_may_be_about_a_number_of_seeds(values, word):
    claim = AtLeast("ant", "sac", "eval/return", 6.0, seeds=10, holding=8)
    verdict = claim.check(finals(ant_sac=values))
    assert (
        verdict.word.startswith(word) and f"{values.count(6.0)} of {len(values)}" in verdict.found
    )
    assert claim.text == "ant, sac: return >= 6 in 8 of 10 seeds"


def test_claim_of_a_ratio_is_about_every_task_or_the_median_task():
    found = finals(a_x=[1.0], a_y=[1.0], b_x=[0.5], b_y=[1.0], c_x=[3.0], c_y=[1.0])
    every = AtLeastTimes("x", "y", "eval/return", 0.9, ("a", "b", "c"), 1)
    median = AtLeastTimes("x", "y", "eval/return", 0.9, ("a", "b", "c"), 1, of_median_task=True)
    more_seeds = AtLeastTimes("x", "y", "eval/return", 0.9, ("a", "b", "c"), 2)
    more_tasks = AtLeastTimes("x", "y", "eval/return", 0.9, ("a", "b", "d"), 1)
    assert every.check(found) == ("fail", "0.5 (1.00, 0.50, 3.00)")
    assert median.check(found).word == "pass"
    assert more_seeds.check(found).word == "not enough seeds"
    assert more_tasks.check(found) == ("not enough seeds", "2 of 3 tasks")


def test_overview_has_every_method_and_the_tasks_that_were_trained(tmp_path):
    (tmp_path / "mazes" / "records").mkdir(parents=True)
    seeds = [dict.fromkeys((overview.GOALS, overview.SCORE), x) for x in (1, 3, 2)]
    record = {"task": "pointmaze_simple", "label": "sac", "final": seeds}
    (tmp_path / "mazes" / "records" / "one.json").write_text(json.dumps(record))
    heading, *rows = overview.rows(tmp_path)
    assert [row[0] for row in rows] == [f"`{method}`" for method in METHODS]
    found = {row[0]: dict(zip(heading, row, strict=True)) for row in rows}
    assert found["`sac`"]["simple maze"] == "2, 2.00 (3)"
    assert found["`td3`"]["simple maze"] == "-" and heading[4:] == ["simple maze"]


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_run_of_every_study_has_a_config_and_a_name_of_its_own(study):
    names = [run.name for run in study.runs]
    assert len(set(names)) == len(names)
    for run in study.runs:
        exp.check_numbers(run.config)
    tasks = {(run.task, run.label) for run in study.runs}
    for claim in study.claims:
        of = claim.tasks if isinstance(claim, AtLeastTimes) else (claim.task,)
        labels = {claim.label, getattr(claim, "other", claim.label)}
        assert {(task, label) for task in of for label in labels} <= tasks


def test_worker_takes_what_no_other_has_and_tells_why_a_run_broke_down(tmp_path, monkeypatch):
    place = run_queue.place_of(TRIAL, tmp_path)
    taken, broken, done, free = (place / run.name for run in TRIAL.runs)
    for folder in (taken, done, broken):
        folder.mkdir(parents=True)
    run_record.path_of(place, TRIAL.runs[2]).parent.mkdir()
    run_record.path_of(place, TRIAL.runs[2]).write_text("{}")
    (broken / run_queue.BROKEN).write_text("no such engine\n")
    trained, quiet = [], Reporter(quiet=True)
    monkeypatch.setattr(run_queue, "_train", lambda run, *rest: trained.append(run.name))
    with run_lock.held(taken):
        run_queue.work(TRIAL, tmp_path, quiet, None)
        states = [row[1] for row in run_queue.status(TRIAL, tmp_path)]
        assert trained == [free.name]
        run_queue.work(TRIAL, tmp_path, quiet, None, retry=True)
    assert states == ["training", "broke down: no such engine", "done", "waiting"]
    assert trained == [free.name, broken.name, free.name]


def test_run_that_cannot_be_trained_leaves_the_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        run_queue.run_setup, "prepare", lambda *given: (_ for _ in ()).throw(ValueError("too big"))
    )
    assert main(["study", "trial", "--runs-dir", str(tmp_path)]) == 2
    said = capsys.readouterr().out
    assert all(f"note: {run.name}: broke down: too big" in said for run in TRIAL.runs)


def test_report_without_a_finished_run_says_so(tmp_path, capsys):
    assert main(["study", "trial", "report", "--runs-dir", str(tmp_path)]) == 2
    assert "no run is finished yet" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("srun") is not None, reason="there is Slurm here")
def test_submitting_without_slurm_says_what_to_do(tmp_path):
    pytest.importorskip("submitit")
    words = ["study", "trial", "submit", "--runs-dir", str(tmp_path)]
    command = [sys.executable, "-m", "experiments", *words]  # its log keeps pytest's streams
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--cluster local" in done.stderr


def comparable(place: Path) -> dict[str, dict]:
    """Read the records without what depends on the clock."""
    records = {record["run"]: record for record in run_record.read_all(place)}
    for record in records.values():
        del record["timings"], record["curve"]["time/train_s"]
    return records


def tables(place: Path) -> str:
    """Make a study's table and its claims."""
    found = study_report.finals_of(run_record.read_all(place))
    return study_report.table(found) + study_report.claims_table(TRIAL, found)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """Train the trial study in one go. -> its folder."""
    root = tmp_path_factory.mktemp("undisturbed")
    assert main(["study", "trial", "--runs-dir", str(root)]) == 0
    return run_queue.place_of(TRIAL, root)


@pytest.mark.slow
def test_study_whose_worker_was_killed_ends_in_the_same_tables(tmp_path, undisturbed):
    command = [sys.executable, "-m", "experiments", "study", "trial", "--runs-dir", str(tmp_path)]
    worker = subprocess.Popen(command)
    place = run_queue.place_of(TRIAL, tmp_path)
    checkpoints = place / TRIAL.runs[0].name / run_folder.CHECKPOINTS
    while not list(checkpoints.glob("[0-9]*")) and worker.poll() is None:
        time.sleep(0.02)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert not run_record.path_of(place, TRIAL.runs[0]).exists()
    assert main(["study", "trial", "--runs-dir", str(tmp_path)]) == 0
    assert comparable(place) == comparable(undisturbed)
    assert tables(place) == tables(undisturbed)
    text = (place / study_report.REPORT).read_text()
    assert "4 of 4 runs" in text and (place / "multigoal.png").stat().st_size > 10_000


@pytest.mark.slow
def test_submitted_job_trains_what_is_left(tmp_path, undisturbed):
    submitit = pytest.importorskip("submitit")
    place = run_queue.place_of(TRIAL, tmp_path)
    shutil.copytree(undisturbed, place)
    missing = TRIAL.runs[1]
    run_record.path_of(place, missing).unlink()
    shutil.rmtree(place / missing.name)
    words = ["study", "trial", "submit", "--cluster", "local", "--runs-dir", str(tmp_path)]
    assert main(words) == 0
    (log,) = (place / slurm_jobs.JOBS).glob("*submitted.pkl")
    job = submitit.LocalJob(place / slurm_jobs.JOBS, log.name.partition("_")[0])
    late = time.monotonic() + 600  # a job known by its number alone counts as ended
    while not job.paths.result_pickle.exists() and time.monotonic() < late:
        time.sleep(0.2)
    assert job.result() == "nothing is left"
    assert comparable(place) == comparable(undisturbed)


@pytest.mark.slow
def test_two_workers_share_a_study(tmp_path, undisturbed):
    words = ["study", "trial", "--workers", "2", "--runs-dir", str(tmp_path)]
    assert main(words) == 0
    place = run_queue.place_of(TRIAL, tmp_path)
    assert json.dumps(comparable(place)) == json.dumps(comparable(undisturbed))
