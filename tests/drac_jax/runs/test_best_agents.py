"""The best agents: which they are, and that nothing loses them."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from drac_jax.runs.saved_agent import config_of, load_agent, read_identity
from drac_jax.runs.setup.run_setup import prepare
from drac_jax.runs.storage.best_agents import BestAgents
from drac_jax.training import sweep
from drac_jax.training.evaluate import make_evaluate
from experiments import find
from tests.support.commands import ROOT, SEEDS, command, records_of, summary_of

MEMBERS = 2
SAVING = """
import sys, itertools, pathlib
from tests.drac_jax.runs.test_best_agents import agents, kept_in, returns
best = kept_in(pathlib.Path(sys.argv[1]))
for epoch in itertools.count(1):
    best.consider(epoch, agents(epoch), returns(epoch, epoch))
    best.save({})
    print(epoch, flush=True)
"""


def agents(value: float) -> dict:
    return {"weights": jnp.full((MEMBERS, 300, 100), float(value)), "count": jnp.zeros(MEMBERS)}


def kept_in(folder: Path) -> BestAgents:
    place = SingleDeviceSharding(jax.local_devices()[0])
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), agents(0.0)
    )
    return BestAgents(folder, like)


def returns(*values: float) -> list[dict]:
    return [{"eval/return": value} for value in values]


def values_of(best: BestAgents) -> list[float]:
    return np.asarray(best._agents["weights"])[:, 0, 0].tolist()


def test_each_member_keeps_its_own_best(tmp_path):
    best = kept_in(tmp_path)
    for epoch, found in enumerate([(1.0, -5.0), (0.0, -4.0), (1.0, -6.0)], start=1):
        best.consider(epoch, agents(epoch), returns(*found))
    best.save({})
    assert best.epochs.tolist() == [1, 2] and best.returns.tolist() == [1.0, -4.0]
    again = kept_in(tmp_path)
    again.restore(3)
    assert values_of(again) == [1.0, 2.0]
    assert again.summary([{"seed": 4}, {"seed": 5}]) == [
        {"seed": 4, "epoch": 1, "eval/return": 1.0},
        {"seed": 5, "epoch": 2, "eval/return": -4.0},
    ]


def test_a_run_that_goes_on_from_before_forgets_what_came_after(tmp_path):
    best = kept_in(tmp_path)
    for epoch in (1, 2, 3):
        best.consider(epoch, agents(epoch), returns(epoch, epoch))
        best.save({})
    again = kept_in(tmp_path)
    again.restore(2)
    assert values_of(again) == [2.0, 2.0]
    assert sorted(int(p.name) for p in (tmp_path / "best").iterdir()) == [1, 2]


@pytest.mark.heavy
def test_a_process_killed_while_it_saves_leaves_a_whole_one(tmp_path):
    wait = random.Random(0)
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        with subprocess.Popen(
            [sys.executable, "-c", SAVING, str(folder)], stdout=subprocess.PIPE, cwd=ROOT, text=True
        ) as process:
            assert process.stdout.readline() == "1\n"
            time.sleep(wait.uniform(0.0, 0.5))
            process.send_signal(signal.SIGKILL)
            said = process.stdout.read().split()
        last = int(said[-1]) if said else 1
        best = kept_in(folder)
        best.restore(10**6)
        assert values_of(best) in ([last] * 2, [last + 1] * 2)


@pytest.mark.slow
def test_the_best_agent_plays_as_it_was_recorded(finished):
    folder = finished.folder
    records = records_of(folder)
    identity = read_identity(folder)
    experiment = find(identity["experiment"])
    setup, _ = prepare(experiment, config_of(experiment, identity), identity["preset"])
    keys = sweep.keys(setup.members)[1]
    for member, said in enumerate(summary_of(folder)["best"]):
        mine = [r for r in records if r["member"] == member]
        top = max(mine, key=lambda r: r["eval/return"])  # the first of the highest
        assert (said["epoch"], said["eval/return"]) == (top["epoch"], top["eval/return"])
        algorithm, agent = load_agent(folder, member, best=True)
        evaluate = make_evaluate(setup.env, algorithm.act, setup.config.eval.episodes)
        played = jax.jit(evaluate)(agent, jax.random.fold_in(keys[member], top["epoch"]))
        assert float(played.returns.mean()) == pytest.approx(top["eval/return"], rel=1e-4)
    assert len(summary_of(folder)["best"]) == SEEDS


@pytest.mark.slow
def test_the_best_agents_are_evaluated_and_drawn_when_asked_for(finished, tmp_path):
    folder = shutil.copytree(finished.folder, tmp_path / "run")
    outcome = command("evaluate", folder, "--best", "--eval.final-episodes", 2)
    assert outcome.code == 0, outcome.said
    (place,) = (p for p in (folder / "evaluations").glob("*/*") if "agents" in summary_of(p))
    newest = max(said["epoch"] for said in summary_of(folder)["best"])
    assert summary_of(place)["epoch"] == newest
    assert command("render", folder, "--best", "--episodes", 1).code == 0
