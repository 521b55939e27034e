"""Environments by name on the command line: how they are found, what they take, what is refused."""

import json
from pathlib import Path

import pytest

import envs
from drac_jax.algorithms.registry import METHODS
from drac_jax.runs.setup import experiment as exp
from experiments import find, find_on, methods_on
from experiments.cli.main import main
from experiments.cli.options import env_words, method_values, parsing
from experiments.cli.options.method_values import Plan
from experiments.tasks import any_environment
from tests.support.commands import command

LOOP = "--algorithm.hidden 8 8 --train.num-envs 2 --train.updates-per-iteration 2"
LENGTH = "--train.env-steps 200 --train.epochs 2 --train.batch-size 16 --train.learning-starts 16"
EPISODES = "--eval.episodes 2 --eval.final-episodes 2"
TINY = f"{LOOP} {LENGTH} {EPISODES}".split()
CODE = """
from typing import Annotated
import jax.numpy as jnp
import envs
from drac_jax.types import EnvSpec

Width = Annotated[float, "half the line"]

def make_env(width: Width = 1.0, side: str = "left", big: bool = False, table=None):
    size = 2 if big else 1
    def reset(key):
        return envs.TaskStep(sim=jnp.zeros(()), obs=jnp.zeros(size))
    def step(sim, action):
        return envs.TaskStep(sim + action[0], jnp.full(size, sim), terminated=sim > width)
    return envs.Task(EnvSpec("line", size, size, 20), reset, step)

def other(): return 5
def needs(size: int): return make_env()
def fails(): raise KeyError("no such robot")
NUMBER = 5
_SECRET = 6
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Write a file with an environment into the folder where commands run. -> its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "wrong.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "two.py").write_text("def one(): pass\ndef two(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    any_environment.experiment_of.cache_clear()
    any_environment._LAST.clear()
    return "mine.py"


def config_of(*words: str) -> tuple[exp.Experiment, exp.RunConfig]:
    """Settle what a command would train, and compile nothing."""
    words = env_words.settle(list(words))
    experiment, _, config = parsing.origin_of(words[0], words, "")
    return experiment, parsing.read_config(config, words[1:], "")


def test_every_method_plays_an_environment_by_its_name(mine):
    for method in METHODS:
        experiment, config = config_of(method, "--env", f"{mine}:make_env")
        assert (experiment.name, experiment.method) == (f"{method}-on-mine.py:make_env", method)
        assert set(experiment.presets) == {"default", "cpu", "fast", "gpu"}
        assert config.env.name == "mine.py:make_env"


def test_what_a_constructor_takes_are_options_with_its_types_and_defaults(mine):
    _, config = config_of("sac", "--env", mine, "--env.width", "0.5", "--env.big", "--env.side=up")
    assert (config.env.width, config.env.big, config.env.side) == (0.5, True, "up")
    assert not hasattr(config.env, "table")  # which words cannot say
    assert config_of("sac", "--env", mine)[1].env.width == 1.0


def test_help_says_what_an_option_of_a_constructor_is(mine, capsys):
    assert main(["run", "sac", "--env", mine, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "--env.width FLOAT half the line (default: 1.0)" in said
    assert "--env.pool-size INT initial states drawn once" in said


@pytest.mark.parametrize("method", ["sac", "dacer"])
def test_target_entropies_follow_the_number_of_actions_of_the_environment_as_it_is_asked_for(
    mine, method
):
    share = {"sac": -1.0, "dacer": -0.9}[method]
    for words, actions in ((), 1), (("--env.big",), 2):
        config = config_of(method, "--env", mine, *words)[1]
        assert config.hparams.target_entropy == pytest.approx(share * actions)


def test_a_saved_name_makes_the_experiment_again(mine):
    config = config_of("td3", "--env", "mine:make_env", "--env.width", "2")[1]
    saved = json.loads(json.dumps(exp.to_dict(config)))
    assert exp.from_dict(find("td3-on-mine:make_env").config(), saved) == config


def test_only_what_was_asked_for_is_given_to_a_constructor(mine, monkeypatch):
    given = {}
    monkeypatch.setattr(envs, "make", lambda name, **options: given.update(options))
    any_environment.make_env(config_of_env(mine, width=3.0), False)
    assert given == {"width": 3.0}


def config_of_env(name: str, **options: object) -> object:
    env = find(f"sac-on-{name}").config().env
    return type(env)(name, **options)


def test_options_within_options_are_given_with_dots():
    options = {"scales": {"upright": envs.signatures.Option(float, 1.0)}}
    kind = any_environment._options_type("robot", options)
    values = list(any_environment._values(kind("robot")))
    assert values == [("scales.upright", 1.0, 1.0)]


def test_an_environment_of_ours_plays_by_its_name():
    _, config = config_of("sac", "--env", "multigoal", "--env.reward", "sparse")
    assert config.env.reward == "sparse"


def test_short_options_stand_for_those_of_the_environment():
    words = "amortized --env x:y --actor-obs state --critic-obs=all --seeds 2"
    settled = "amortized-on-x:y --env.actor-obs state --env.critic-obs=all --seeds 2"
    assert env_words.settle(words.split()) == settled.split()
    assert env_words.settle(["--env", "x:y"]) == ["amortized-on-x:y"]


def test_compare_takes_an_environment_for_a_domain(mine):
    assert methods_on("multigoal") == methods_on(mine) == list(METHODS)
    for line in ([mine, "--seeds", "2"], ["--env", mine, "--seeds", "2"]):
        assert env_words.take_domain(line) == (mine, ["--seeds", "2"])
    plan = Plan(mine, ["sac", "td3"], "cpu", ["--env.big", "--sac.hparams.tau", "0.1"])
    made = {algo: parsing.fit(find_on(mine, algo), plan.words) for algo in plan.algos}
    settled = method_values.settle(plan, made, None)
    assert made["td3"].name == "td3-on-mine.py" and settled["td3"][0].env.big
    assert settled["sac"][0].hparams.target_entropy == -2.0
    assert settled["sac"][0].hparams.tau == 0.1


def test_list_says_how_any_environment_is_trained():
    said = command("list").said
    assert "run amortized --env brax:NAME" in said and "FILE.py:FUNCTION" in said


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("run amortized", ["amortized is a method", "--env brax:ant"]),
        ("run amortized --env", ["--env needs the name"]),
        ("run amortized --env a:b --env c:d", ["twice", "a:b and c:d"]),
        ("run amortised --env mine.py", ["'amortised' is unknown", "'amortized'"]),
        ("run multigoal_sac --env mine.py", ["environment of its own", "sac --env mine.py"]),
        ("run sac --env mine.py --env.widht 2", ["--env.widht", "--env.width"]),
        ("run sac --env mine.py --env.width wide", ["width", "wide"]),
        ("run sac --env multigaol", ["'multigaol' is unknown", "nearest: multigoal"]),
        ("run sac --env brax:antt", ["'antt'", "nearest: ant"]),
        ("run sac --env gymnasium:Pendulm-v1", ["'Pendulm-v1'", "nearest: Pendulum-v1"]),
        ("run sac --env gymnasium:CartPole-v1", ["Discrete(2)", "continuous"]),
        ("run sac --env gymnasium:Pendulum-v1 --env.h 2", ["--env.h", "nrecognized"]),
        ("run sac --env gymnasium:Pendulum-v1 --env.max-steps 0", ["max_steps=0"]),
        ("run sac --env nothing.py", ["no file nothing.py"]),
        ("run sac --env mine.py:make_evn", ["no function 'make_evn'", "make_env"]),
        ("run sac --env mine.py:NUMBER", ["is int, not a function"]),
        ("run sac --env mine.py:other", ["makes int", "int has no reset"]),
        ("run sac --env mine.py:needs", ["needs size", "default"]),
        ("run sac --env mine.py:fails", ["raises KeyError", "no such robot", "mine.py:"]),
        ("run sac --env mine.py --actor-obs state", ["actor_obs='state'", "leave them out"]),
        ("run sac --env two.py", ["which function", "one, two"]),
        ("run sac --env wrong.py", ["wrong.py raises ModuleNotFoundError", "nothing_of_that_name"]),
        ("run sac --env wrong:make", ["'nothing_of_that_name'", "not installed"]),
        ("run sac --env nowhere:make", ["'nowhere'", "brax:<name>", "no module 'nowhere'"]),
        ("run sac --env no.where:make", ["no module 'no.where'"]),
        ("run sac --env mine:", ["names no function"]),
        ("compare mine.py --algos sac scA", ["'scA' is unknown"]),
        ("new-env two", ["two.py is there already"]),
        ("new-env not-a-name", ["'not-a-name'", "my_task"]),
        ("new-env three --folder nowhere", ["cannot write", "--folder"]),
    ],
)
def test_bad_names_and_options_are_refused_in_one_line(mine, capsys, line, parts):
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert [part for part in parts if part not in said] == []
    assert not Path("runs").exists()


def test_the_template_of_a_new_environment_keeps_the_contract(mine, capsys):
    assert main(["new-env", "my_task"]) == 0
    said = capsys.readouterr().out
    assert "python my_task.py" in said and "run amortized --env my_task.py" in said
    assert envs.check(envs.make("my_task.py")) == []
    assert set(envs.options_of("my_task.py")) >= {"width", "noise"}


@pytest.mark.heavy
def test_a_run_on_a_file_of_ones_own_is_resumed_and_evaluated(mine):
    main(["new-env", "my_task"])
    line = ("run", "sac", "--env", "my_task.py", "--env.width", "0.5", *TINY)
    assert command(*line).code == 0
    (folder,) = Path("runs/sac-on-my_task.py").iterdir()
    saved = json.loads((folder / "config.json").read_text())
    assert saved["experiment"] == "sac-on-my_task.py"
    assert saved["config"]["env"]["width"] == 0.5
    assert command("run", "--config", folder, "--dry-run").code == 0
    outcome = command("run", "--resume", folder)
    assert outcome.code == 0 and "after epoch 2 of 2" in outcome.said
    assert command("evaluate", folder).code == 0


@pytest.mark.slow
def test_a_resumed_run_in_gymnasium_says_that_its_episodes_begin_anew(tmp_path):
    line = ("run", "sac", "--env", "gymnasium:Pendulum-v1", *TINY, "--runs-dir", tmp_path)
    assert command(*line, "--env.max-steps", "20", "--seeds", "2").code == 0
    (folder,) = (tmp_path / "sac-on-gymnasium_Pendulum-v1").iterdir()
    (newest,) = (folder / "checkpoints").glob("2")
    newest.rename(tmp_path / "2")
    outcome = command("run", "--resume", folder)
    assert outcome.code == 0, outcome.said
    assert outcome.said.count("episodes begin anew") == 1
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    # Each of two environments of each seed has lost one episode, and nothing else.
    assert [(r["epoch"], r["train/broken_envs"]) for r in records] == [(1, 0)] * 2 + [(2, 2)] * 2


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sac", "amortized"])
def test_pendulum_of_gymnasium_is_learned(tmp_path, method):
    loop = "--preset default --train.env-steps 15000 --train.epochs 5 --algorithm.hidden 64 64"
    rates = "--train.learning-starts 1000 --hparams.actor-lr 1e-3 --hparams.critic-lr 1e-3"
    words = f"{loop} {rates}"
    beta = ["--hparams.beta", "0.1"] if method == "amortized" else []
    line = ("run", method, "--env", "gymnasium:Pendulum-v1", *words.split(), *beta)
    assert command(*line, "--runs-dir", tmp_path).code == 0
    (summary,) = tmp_path.glob("*/*/summary.json")
    (result,) = json.loads(summary.read_text())["seeds"]
    assert result["eval/return"] >= -200.0
