"""Commands that stop before anything is compiled: one line that says what to do."""

import json
import re
from dataclasses import replace

import pytest

from drac_jax.algorithms.registry import METHODS
from drac_jax.runs.setup import experiment as exp
from experiments import EXPERIMENTS, find
from experiments.cli.main import COMMANDS, main


@pytest.fixture
def error_of(capsys):
    """Run a command that must be refused. -> what it says."""

    def run(*words: object) -> str:
        assert main([str(word) for word in words]) == 2
        said = capsys.readouterr()
        assert said.err.startswith("error: ")
        assert said.err.count("\n") == 1
        assert "Traceback" not in said.err + said.out
        assert "---" not in said.err
        return said.err

    return run


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("--train.num-envs 0", ["num_envs=0", "at least 1"]),
        ("--train.batch-size 64 --train.replay-capacity 32", ["batch_size=64", "capacity=64"]),
        ("--train.env-steps 100", ["env_steps=100", "use "]),
        ("--hparams.beta 0", ["beta=0 ", "0.834"]),
        ("--hparams.beta -0.3", ["beta=-0.3", "0.834"]),
        ("--hparams.beta 0.9", ["beta=0.9", "0.834", "0.632"]),
        ("--hparams.beta 0.2 --grid.beta 0.2 0.9", ["beta=0.9", "0.834"]),
        ("--hparams.gamma 1.5", ["gamma=1.5", "(0, 1]"]),
        ("--hparams.actor-lr 0", ["actor_lr=0 ", "above 0"]),
        ("--grid.hidden 3", ["--grid.hidden", "nrecognized"]),
        ("--grid.beta", ["grid.beta", "at least one"]),
        ("--grid.beta high", ["grid.beta", "'high'", "FLOAT"]),
        ("--algorithm.q-samples 7", ["q_samples=7", "num_samples=6"]),
        ("--algorithm.num-samples 1", ["num_samples=1", "at least 2"]),
        ("--algorithm.estimator paired", ["num_samples=6", "odd", "use 7"]),
        ("--algorithm.latent-size 0", ["latent_size=0", "at least 1"]),
        ("--seeds 0", ["seeds=0", "at least 1"]),
        ("--checkpoint-every 0", ["checkpoint_every=0", "at least 1"]),
        ("--eval.episodes 0", ["eval.episodes=0", "at least 1"]),
        ("--train.num-envs many", ["num-envs", "many"]),
        ("--train.num-env 4", ["--train.num-env", "--train.num-envs"]),
        ("--env.metric manhattan", ["metric", "manhattan", "euclidean"]),
        ("--devices 0", ["devices=0", "at least 1"]),
        ("--devices many", ["--devices", "'many'"]),
        ("--preset slow", ["preset='slow'", "paper", "default", "fast"]),
    ],
)
def test_value_that_cannot_be_run_is_refused_with_a_fix(error_of, words, parts):
    said = error_of("run", "multigoal_amortized", "--dry-run", *words.split())
    assert [part for part in parts if part not in said] == []


def test_unknown_experiment_is_refused_with_the_nearest_names(error_of):
    said = error_of("run", "multigaol_amortised")
    assert "'multigaol_amortised'" in said
    assert "nearest: multigoal_" in said


def test_unknown_command_is_refused_with_those_there_are(error_of):
    said = error_of("trian")
    assert all(word in said for word in ("'trian'", "run", "sweep", "evaluate", "list"))


def test_replay_that_does_not_fit_is_refused_with_the_largest_that_does(error_of):
    words = ["--train.replay-capacity", 10**13, "--train.env-steps", 10**13]
    said = error_of("run", "multigoal_amortized", "--dry-run", *words, "--train.num-envs", 8)
    largest = int(said.split("replay_capacity=")[1].split()[0])
    assert 0 < largest < 10**13
    assert largest % 8 == 0


def test_folder_that_is_no_run_cannot_be_resumed(error_of, tmp_path):
    assert "is not a run folder" in error_of("run", "--resume", tmp_path)
    assert "is not a run folder" in error_of("run", "--resume", tmp_path / "nothing")
    assert "is not a run folder" in error_of("evaluate", tmp_path)
    assert "is not a run folder" in error_of("robustness", tmp_path)


def test_damaged_config_is_reported_with_its_path(error_of, tmp_path):
    (tmp_path / "config.json").write_text('{"experiment": ')
    assert "config.json cannot be read" in error_of("run", "--resume", tmp_path)


@pytest.mark.parametrize("name", ["evaluate", "robustness"])
def test_command_on_a_saved_run_needs_its_folder(error_of, name):
    assert "folder of a run" in error_of(name)


def test_run_folder_that_cannot_be_made_is_reported_before_compiling(error_of, tmp_path):
    (tmp_path / "file").write_text("in the way")
    said = error_of("run", "multigoal_amortized", "--runs-dir", tmp_path / "file" / "runs")
    assert "cannot make the run folder" in said
    assert "--runs-dir" in said


def test_list_names_every_task_with_its_presets_and_every_method(capsys):
    assert main(["list"]) == 0
    lines = {
        words[0]: line for line in capsys.readouterr().out.splitlines() if (words := line.split())
    }
    for name, experiment in EXPERIMENTS.items():
        task, _, method = name.rpartition("_")
        assert all(preset in lines[task] for preset in experiment.presets)
        assert METHODS[method].summary in lines[method]


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_names_the_commands(capsys, words):
    assert main(words) == 0
    said = capsys.readouterr().out
    assert all(
        word in said
        for word in ("list", "run", "sweep", "evaluate", "robustness", "compare", "--resume")
    )


@pytest.mark.heavy
def test_dry_run_prints_the_run_and_leaves_nothing(capsys, tmp_path):
    words = ["--algorithm.hidden", "16", "16", "--train.env-steps", "1000", "--seeds", "2"]
    place = ["--runs-dir", str(tmp_path / "runs")]
    assert main(["run", "multigoal_amortized", "--dry-run", *words, *place]) == 0
    said = capsys.readouterr().out
    values, end = json.JSONDecoder().raw_decode(said[said.index("{") :])
    assert values["config"]["train"]["env_steps"] == 1000
    assert "1,000 env steps" in said[end:]
    assert "x 2 member(s)" in said
    assert not (tmp_path / "runs").exists()


EVERY_METHOD = [f"run multigoal_{method}" for method in METHODS]
EVERY_TASK = [f"run {name}" for name in EXPERIMENTS if name.endswith("_amortized")]
HELPED = [*EVERY_METHOD, *EVERY_TASK, "sweep", "tune", "compare multigoal", "decoder"]
HELPED += ["evaluate", "render", "robustness"]
HELPED += [f"bench {suite}" for suite in ("update", "diversity", "envs")]


@pytest.mark.parametrize("line", HELPED)
def test_help_says_what_every_option_is_and_gives_an_example(capsys, line):
    assert main([*line.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert "Example: python -m experiments " in said
    # An option, and what is said of it: behind two spaces, or on lines of its own.
    options = re.findall(r"\n  (--[a-z].*?)(?=\n  -|\n \S|\n *\n|$)", said, re.DOTALL)
    assert len(options) >= 3
    for option in options:
        text = re.split(r"\s{2,}", option.strip(), maxsplit=1)[1]
        assert not text.startswith("(default"), option


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_almost_right_is_answered_with_the_right_one(error_of, command):
    assert f"did you mean {command!r}" in error_of(command + "e")


def test_truth_values_may_follow_their_option(error_of):
    for words in ("--env.obstacles", "--env.obstacles True", "--env.no-obstacles"):
        assert "num_envs=0" in error_of("run", *words.split(), "--train.num-envs", 0)
    assert "--env.obstacle" in error_of("run", "--env.obstacle", "True")


@pytest.mark.heavy
def test_values_are_taken_from_the_config_of_another_run(capsys, tmp_path):
    config = exp.to_dict(replace(find("multigoal_sac").config("fast"), seeds=3))
    file = tmp_path / "config.json"
    identity = {"experiment": "multigoal_sac", "preset": "fast", "config": config}
    file.write_text(json.dumps(identity))
    words = ["--dry-run", "--algorithm.hidden", "8", "8", "--train.num-envs", "4"]
    assert main(["run", "--config", str(file), *words]) == 0
    said = capsys.readouterr().out
    values, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])
    assert values["experiment"] == "multigoal_sac" and values["preset"] == "fast"
    config["algorithm"]["hidden"], config["train"]["num_envs"] = [8, 8], 4
    assert values["config"] == config


def test_config_of_another_experiment_is_refused(error_of, tmp_path):
    (tmp_path / "config.json").write_text('{"experiment": "multigoal_sac"}')
    assert "has no 'config'" in error_of("run", "--config", tmp_path / "config.json")
    identity = {"experiment": "multigoal_sac", "preset": "fast", "config": {}}
    (tmp_path / "config.json").write_text(json.dumps(identity))
    said = error_of("run", "ant_sac", "--config", tmp_path / "config.json")
    assert "is a run of experiment 'multigoal_sac', not 'ant_sac'" in said


def test_completion_knows_commands_and_options(capsys):
    assert main(["--tyro-print-completion", "bash"]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in (*COMMANDS, "--train.num-envs", "--grid.beta"))
