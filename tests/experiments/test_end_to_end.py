"""`bench end_to_end`: the rule for a return, contenders that are not there, and tiny runs."""

import importlib.util
import json
import math
import sys
import time

import jax
import jax.numpy as jnp
import pytest

import envs
from drac_jax.types import EnvSpec
from experiments.cli.main import main
from experiments.throughput import return_curve
from experiments.throughput.contenders import our_loop
from experiments.throughput.contenders.contender_process import ContenderProcess
from experiments.throughput.suites.training import from_scratch, jax_trainers


def curve(*returns: float) -> list[dict[str, float]]:
    return [{"return": value, "env_steps": i} for i, value in enumerate(returns)]


def test_return_counts_as_reached_when_the_last_episodes_have_it_on_average():
    points = curve(9.0, 0.0, 3.0, 5.0, 0.0)
    assert return_curve.first_at(points, 4.0)["env_steps"] == 0
    assert return_curve.first_at(points, 4.0, window=2)["env_steps"] == 1
    assert return_curve.first_at(points, 4.0, window=3)["env_steps"] == 2
    assert return_curve.first_at(points, 4.0, window=4)["env_steps"] == 3
    assert return_curve.first_at(points, 4.0, window=5) is None
    assert return_curve.best(points, window=2) == 4.5


def test_curve_shorter_than_the_window_reaches_nothing():
    assert return_curve.first_at(curve(9.0), 4.0, window=2) is None
    assert math.isnan(return_curve.best(curve(9.0), window=2))


def two_steps(key: jax.Array) -> envs.TaskStep:
    return envs.TaskStep(sim=jnp.zeros(()), obs=jnp.zeros(1))


def fixed_length(sim: jax.Array, action: jax.Array) -> envs.TaskStep:
    """Reward the action; the second step is the last."""
    return envs.TaskStep(sim=sim + 1, obs=jnp.zeros(1), reward=action[0], terminated=sim >= 1)


def test_log_has_every_episode_that_ended_and_when():
    spec = EnvSpec("two_steps", obs_size=1, action_size=1, max_steps=100)
    env = our_loop.logged(envs.batch(envs.Task(spec, two_steps, fixed_length)))
    state = env.reset(jax.random.split(jax.random.key(0), 2))
    step = jax.jit(env.step)
    for reward in (0.25, 0.5, 1.0, -1.0, 1.0):
        state = step(state, jnp.array([[reward], [reward / 2]]))
    log = state.internal[1]
    assert int(log.total) == 4
    assert log.returns[:4].tolist() == [0.75, 0.375, 0.0, 0.0]
    assert log.steps[:4].tolist() == [2, 2, 4, 4]


def speaking(tmp_path, name: str, code: str) -> from_scratch.Start:
    """Make a contender that says what a line of Python has it say."""
    script = tmp_path / f"{name}.py"
    begin = "import json, sys, time\nprint('not JSON')\n"
    begin += "def say(**what): print(json.dumps(what), flush=True)\n"
    script.write_text(f"{begin}say(cpu_s=0.0)\n{code}\n")
    return lambda seed: ContenderProcess(sys.executable, [str(script), str(seed)])


EPISODES = """
for i in range(200):
    say(env_steps=i, updates=i, cpu_s=0.1 * i, **{"return": i * int(sys.argv[1])})
time.sleep(60)
"""


def test_training_ends_when_the_mean_of_ten_episodes_is_the_target(tmp_path):
    start = speaking(tmp_path, "learner", EPISODES)
    training = from_scratch.train(start, 1, from_scratch.Goal(100.0, 1.0, 1))
    assert training.reached["env_steps"] == 105  # the first i for which i - 4.5 is 100 or more
    assert len(training.curve) == 106
    record = training.record()
    assert record["curve"]["mean_return"][:2] == [4.5, 14.5]
    assert record["curve"]["env_steps"][:2] == [9, 19]


def test_training_without_the_target_ends_with_its_minutes(tmp_path):
    start = speaking(tmp_path, "learner", EPISODES)
    began = time.perf_counter()
    training = from_scratch.train(start, 0, from_scratch.Goal(100.0, 2 / 60, 1))
    assert 2.0 <= time.perf_counter() - began < 60.0
    assert training.reached is None
    assert training.ended["env_steps"] == max(0, len(training.curve) - 1)
    table = from_scratch.table({"learner": [training]})
    assert "| learner | 0 of 1 | " in table


def test_contender_that_breaks_down_is_left_out_with_its_last_words(tmp_path):
    starts = {
        "broken": speaking(tmp_path, "broken", "sys.exit('no such simulator')"),
        "learner": speaking(tmp_path, "learner", EPISODES),
    }
    found = list(from_scratch.race(starts, from_scratch.Goal(-1.0, 1.0, 2)))
    assert found[0] == ("broken", "no such simulator")
    assert [name for name, _ in found] == ["broken", "learner", "learner"]
    assert [training.seed for _, training in found[1:]] == [0, 1]


@pytest.mark.parametrize(
    ("words", "why"),
    [((), "no --torch-python"), (("--torch-python", "no/such/python"), "No such file")],
)
def test_race_without_pytorch_says_so_in_one_line(words, why, tmp_path, capsys):
    ask = ["bench", "end_to_end", "--target-return", "0", "--out", str(tmp_path)]
    assert main([*ask, "--methods", "sac", *words, "--presets"]) == 0
    said = capsys.readouterr().out
    lines = [line for line in said.partition("Hopper-v4")[0].splitlines() if "PyTorch" in line]
    assert len(lines) == 1 and lines[0].startswith("Left out: PyTorch sac") and why in lines[0]
    (record,) = tmp_path.glob("*.json")
    assert why in json.loads(record.read_text())["left_out"]["PyTorch sac, eager"]


@pytest.mark.parametrize(
    ("python", "why"),
    [
        (None, "no --rejax-python"),
        ("no/such/python", "--rejax-python no/such/python: No such file"),
        (sys.executable, "No module named 'rejax'"),
    ],
)
def test_rejax_that_is_not_installed_is_named(python, why):
    if python == sys.executable and importlib.util.find_spec("rejax"):
        pytest.skip("rejax is installed here")
    start = jax_trainers.processes("hopper", python, 1)["Rejax sac"]
    with pytest.raises(ValueError, match=why):
        start().read()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minutes", "0"], "--minutes 0 --seeds 1: both must be above 0"),
        (["--task", "Walker"], "experiment 'walker_amortized' is unknown"),
        (["--methods", "ppo"], "--methods ppo is unknown; use some of drac, sac"),
        (["--presets", "gpu"], "--presets gpu is unknown"),
        (["--brax-env", "hopper"], "--brax-env and --target-return are two measurements"),
    ],
)
def test_what_cannot_be_raced_is_answered_in_one_line(words, said, capsys):
    assert main(["bench", "end_to_end", "--target-return", "1", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1


def test_environment_that_brax_does_not_have_is_answered_in_one_line(capsys):
    assert main(["bench", "end_to_end", "--brax-env", "hoper"]) == 2
    assert "brax:hoper cannot be made" in capsys.readouterr().err


@pytest.mark.heavy
def test_ours_trains_until_a_return(tmp_path):
    words = ["--target-return", "-1e9", "--methods", "sac", "--presets", "cpu"]
    assert main(["bench", "end_to_end", *words, "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("end_to_end_return_sac_*.json")
    record = json.loads(path.read_text())
    (training,) = record["sac, cpu"]
    assert training["reached"]["env_steps"] >= 10
    assert training["ready"]["seconds"] > training["ready"]["compile_s"] > 0
    assert training["episodes"] == 10
    assert len(training["curve"]["mean_return"]) == 1


@pytest.mark.slow
def test_brax_trainer_takes_turns_with_ours(tmp_path):
    words = ["--brax-env", "inverted_pendulum", "--iterations", "2", "--repeats", "2"]
    assert main(["bench", "end_to_end", *words, "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("end_to_end_brax_inverted_pendulum_*.json")
    record = json.loads(path.read_text())
    assert len(record["drac_jax sac"]) == len(record["Brax sac"]) == 2
    assert record["facts"]["Rejax sac"] == "left out: no --rejax-python"
