"""Runs of the robots on C MuJoCo, from the command line: preset, resuming, Gymnasium itself."""

import json
from pathlib import Path

import gymnasium
import jax
import numpy as np
import pytest

import envs
from drac_jax import load_policy
from drac_jax.runs.storage import run_folder
from envs.locomotion import in_gymnasium
from experiments.cli.main import main
from experiments.cli.options import parsing
from tests.support.saved_runs import save_run

SIZES = [
    *("--train.env-steps", "480", "--train.num-envs", "4", "--train.batch-size", "16"),
    *("--train.learning-starts", "16", "--train.epochs", "2", "--algorithm.hidden", "8", "8"),
    *("--eval.episodes", "2", "--eval.final-episodes", "3"),
]


def train(root: Path, *words: str) -> tuple[int, Path]:
    """Train Hopper for a moment. -> the exit code and the run's folder."""
    code = main(["run", "hopper_amortized", *SIZES, "--runs-dir", str(root), *words])
    (folder,) = (root / "hopper_amortized").iterdir()
    return code, folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Train a run in one go. -> its folder."""
    code, folder = train(tmp_path_factory.mktemp("runs"))
    assert code == 0
    return folder


def records(folder: Path) -> list[dict]:
    read = run_folder.read_records(folder / run_folder.METRICS)
    return [{k: v for k, v in record.items() if not k.startswith("time/")} for record in read]


@pytest.mark.parametrize("name", ["hopper", "ant_maze"])
def test_robots_take_c_mujoco_on_a_cpu_for_its_own_physics_alone(name):
    assert envs.make(name).spec.host_callback
    assert envs.make(name).spec.name != envs.make(name, impl="jax").spec.name
    assert not envs.make(name, fidelity="fast").spec.host_callback


def test_run_that_names_no_preset_takes_that_of_the_device(monkeypatch):
    chosen = {}
    for backend in ("cpu", "gpu", "tpu"):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        chosen[backend] = parsing.origin_of("hopper_sac", [], "")[1]
        assert parsing.origin_of("multigoal_sac", [], "")[1] == "default"
        assert parsing.origin_of("hopper_sac", ["--preset", "paper"], "")[1] == "paper"
        # A device that is looked at can no longer be shared out.
        assert parsing.origin_of("hopper_sac", ["--devices", "2"], "")[1] == "default"
    assert chosen == {"cpu": "cpu", "gpu": "gpu", "tpu": "default"}


@pytest.mark.heavy
def test_bare_run_says_which_preset_it_takes(run, tmp_path, capsys):
    assert json.loads((run / run_folder.CONFIG).read_text())["preset"] == "cpu"
    assert main(["run", "hopper_amortized", *SIZES, "--dry-run"]) == 0
    assert "note: preset cpu, which suits this device" in capsys.readouterr().out


@pytest.mark.heavy
def test_run_on_c_mujoco_that_was_stopped_goes_on_bit_for_bit(run, tmp_path, capsys):
    code, folder = train(tmp_path, "--seconds", "0.001")
    assert code == 130
    assert main(["run", "--resume", str(folder)]) == 0
    assert records(folder) == records(run)
    ours, theirs = (
        json.loads((x / run_folder.SUMMARY).read_text())["seeds"] for x in (folder, run)
    )
    assert ours == theirs


@pytest.mark.heavy
def test_policy_is_played_in_gymnasium_itself(run, capsys):
    words = ["--in", "gymnasium", "--eval.final-episodes", "3"]
    assert main(["evaluate", str(run), *words]) == 0
    (place,) = (run / "evaluations" / "gymnasium_Hopper-v4").iterdir()
    (seed,) = json.loads((place / run_folder.SUMMARY).read_text())["seeds"]
    played = in_gymnasium.play(load_policy(run), "Hopper-v4", 3, seed=0)
    assert seed["eval/return"] == pytest.approx(played.returns.mean())
    assert seed["eval/episode_length"] == played.lengths.mean()


def test_an_action_is_scaled_to_the_box_of_gymnasium():
    """Humanoid's motors take +-0.4; the return is that of the same actions given by hand."""
    played = in_gymnasium.play(lambda obs, key: np.full((len(obs), 17), 0.5), "Humanoid-v4", 1, 3)
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    env = gymnasium.make("Humanoid-v4")
    env.reset(seed=3)
    total, length, done = 0.0, 0, False
    while not done:
        _, reward, terminated, truncated, _ = env.step(np.full(17, 0.2, np.float32))
        total, length, done = total + float(reward), length + 1, terminated or truncated
    assert played.lengths[0] == length
    assert played.returns[0] == pytest.approx(total, rel=1e-4)


def test_task_that_is_not_gymnasiums_says_so(tmp_path, capsys):
    folder = save_run(tmp_path / "run", "sac")
    assert main(["evaluate", str(folder), "--in", "gymnasium"]) == 2
    assert "is no task of Gymnasium; leave --in out" in capsys.readouterr().err
