"""The README's Python runs as it stands, but for its budget, and its tables are the records'."""

import re
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from experiments.cli.main import main
from experiments.studies import study_tables
from experiments.throughput import timing
from tests.support.saved_runs import save_run

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
TABLES = ("multigoal_compare", "pointmaze_simple_default", "pointmaze_medium_fast")
TABLES += ("pointmaze_medium_default", "pointmaze_hard_fast", "mazes")
# Tables of benchmarks that the README has.
MEASURED = ("end_to_end_return_sac_one_core", "end_to_end_return_drac_one_core")
MEASURED += ("end_to_end_brax_inverted_pendulum_one_core", "latency_one_core")
SMALL = "TrainConfig(env_steps=40, epochs=2, batch_size=16, learning_starts=16)"


def block_with(text: str) -> str:
    """Return the one example that contains `text`."""
    (block,) = [block for block in BLOCKS if text in block]
    return block


def test_tables_of_the_records_are_printed(capsys):
    assert main(["study"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{name}\n" in printed for name in TABLES)


def test_a_study_that_there_is_not_is_answered_with_those_there_are(capsys):
    assert main(["study", "locomotoin_cpu"]) == 2
    said = capsys.readouterr().err
    assert "nearest: locomotion_cpu" in said and "kept results: mario" in said


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_the_records(name):
    rows = study_tables.table_of(study_tables.RESULTS / name).splitlines()
    assert [row for row in rows if row not in README.read_text("utf-8")] == []


@pytest.mark.parametrize("name", MEASURED)
def test_tables_of_benchmarks_are_those_of_the_records(name):
    lines = (timing.RESULTS / "cpu" / f"{name}.md").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert rows and [row for row in rows if row not in README.read_text("utf-8")] == []


def test_robots_examples_act(tmp_path, monkeypatch):
    run = save_run(tmp_path / "run", "amortized", latent_size=16)
    for to in ("numpy", "onnx"):
        assert main(["export", str(run), "--to", to]) == 0
    monkeypatch.chdir(run / "export")
    monkeypatch.syspath_prepend(".")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    for module in ("numpy_policy", "onnxruntime.InferenceSession"):
        names: dict = {}
        exec(block_with(module), names)
        assert np.abs(names["action"]).max() <= 1.0
    assert isinstance(names["session"], onnxruntime.InferenceSession)


@pytest.mark.heavy
def test_python_way_trains_a_sweep():
    names: dict = {}
    exec(block_with("jax.vmap(train.run)").replace("TrainConfig()", SMALL), names)
    assert names["metrics"]["critic/loss"].shape == (8, 2)
    assert bool(jnp.isfinite(names["metrics"]["critic/loss"]).all())


@pytest.mark.heavy
def test_own_environment_steps():
    names: dict = {}
    exec(block_with("two_exits").replace("TrainConfig(env_steps=5_000, epochs=5)", SMALL), names)
    env = names["env"]
    state = env.reset(jax.random.split(jax.random.key(0), 4))
    for _ in range(12):
        state = env.step(state, jnp.ones((4, 1)))
    assert state.info["episode_length"].tolist() != [12] * 4  # it leaves by an exit, and resets
    assert bool((jnp.abs(state.obs) <= 1.1).all())
