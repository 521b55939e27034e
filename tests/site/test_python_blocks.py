"""Every Python block of the README and the site runs as it stands, but for its budget."""

import re
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cli.main import main
from tests.support.pages import Block, blocks
from tests.support.saved_runs import save_run

SMALL = "TrainConfig(env_steps=40, epochs=2, batch_size=16, learning_starts=16)"
BUDGET = re.compile(r"TrainConfig\([^)]*\)")
RUN = "runs/multigoal_amortized/<id>"
ON_A_ROBOT = ("from numpy_policy import", "onnxruntime.InferenceSession")  # beside an export
OF_ANOTHER_TEST = "docs/extend/your_own_robot.md"  # tests/envs/mjcf/test_own_robot_page.py
BLOCKS = [b for b in blocks("python") if not b.reason and b.page != OF_ANOTHER_TEST]
HERE = [block for block in BLOCKS if not any(text in block.code for text in ON_A_ROBOT)]


def name_of(block: Block) -> str:
    return f"{block.page}-{BLOCKS.index(block)}"


@pytest.mark.heavy
@pytest.mark.parametrize("block", HERE, ids=name_of)
def test_a_block_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = BUDGET.sub(SMALL, block.code)
    if RUN in code:
        code = code.replace(RUN, str(save_run(tmp_path / "run", "amortized")))
    names: dict[str, Any] = {}
    exec(code, names)
    for name, value in names.get("metrics", {}).items():
        assert value.shape[-1] == 2, name  # epochs
        assert name.startswith("train/") or bool(jnp.isfinite(value).all()), name


@pytest.mark.parametrize("text", ON_A_ROBOT)
def test_a_robots_example_acts(text, tmp_path, monkeypatch):
    run = save_run(tmp_path / "run", "amortized", latent_size=16)
    for to in ("numpy", "onnx"):
        assert main(["export", str(run), "--to", to]) == 0
    monkeypatch.chdir(run / "export")
    monkeypatch.syspath_prepend(".")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    (block,) = [block for block in BLOCKS if text in block.code]
    names: dict[str, Any] = {}
    exec(block.code, names)
    assert 0.0 < np.abs(names["action"]).max() <= 1.0


@pytest.mark.heavy
def test_the_own_environment_ends_and_begins_again():
    (block,) = [block for block in BLOCKS if "two_exits" in block.code]
    names: dict[str, Any] = {}
    exec(BUDGET.sub(SMALL, block.code), names)
    env = names["env"]
    state = env.reset(jax.random.split(jax.random.key(0), 4))
    for _ in range(12):
        state = env.step(state, jnp.ones((4, 1)))
    assert state.info["episode_length"].tolist() != [12] * 4  # it leaves by an exit, and resets
    assert bool((jnp.abs(state.obs) <= 1.1).all())
