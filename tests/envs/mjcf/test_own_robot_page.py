"""The page on a robot of one's own: its files make an environment, and its Python runs."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "extend" / "your_own_robot.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TOY = "TrainConfig(env_steps=200, num_envs=4, epochs=2, batch_size=16, learning_starts=16)"


TOY_RUN = "--train.env-steps 200 --train.num-envs 4 --train.epochs 2 --train.batch-size 16"
TOY_RUN += " --train.learning-starts 16 --eval.episodes 2 --eval.final-episodes 2"


def block_with(text: str) -> str:
    (block,) = [block for block in BLOCKS if text in block]
    return block


@pytest.fixture
def files(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (model,) = re.findall(r"```xml\n(.*?)```", PAGE, re.DOTALL)
    Path("arm.xml").write_text(model)
    Path("arm.py").write_text(block_with("def reward"))


def test_its_files_are_a_robot_that_reaches_where_it_is_pushed(files):
    env = envs.make("mjcf:arm.xml", reward="arm.py:reward", obs="arm.py:obs", reset="arm.py:reset")
    state = jax.jit(env.reset)(jax.random.split(jax.random.key(0), 50))
    after = jax.jit(env.step)(state, jnp.zeros((50, 2)))
    distance = np.linalg.norm(after.obs[:, -2:], axis=1) / 10.0
    np.testing.assert_allclose(after.reward, -distance, atol=1e-5)
    assert distance.min() > 0.01 and distance.std() > 0.05  # targets are at different places


@pytest.mark.heavy
def test_its_python_trains_and_draws(files):
    names: dict[str, Any] = {}
    code = block_with("make_train(")
    toy, changed = re.subn(r"TrainConfig\(.*\)", TOY, code)
    assert changed == 1
    exec(toy.replace("hidden=(64, 64)", "hidden=(8, 8)"), names)
    assert names["metrics"]["train/return"].shape == (2,)
    exec(block_with("render.page("), names)
    assert "<html" in Path("arm.html").read_text()
    assert len(names["poses"]) == names["env"].spec.max_steps


@pytest.mark.slow
def test_its_commands_train_draw_and_export(files):
    train, use = (block for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL))
    train = train.strip() + f" {TOY_RUN}\n"
    script = (train + use).replace("python -m", f"{sys.executable} -m")
    where = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(["bash", "-euc", script], check=True, env=where)
    (run,) = Path("runs/amortized-on-mjcf_arm.xml").iterdir()
    assert len(list(run.glob("render/*/*.html"))) == 2
    sys.path.insert(0, str(run / "export"))
    policy = importlib.import_module("numpy_policy").Policy(next(run.glob("export/*.npz")))
    latent = policy.draw(np.random.default_rng(0), 3)
    assert policy(np.zeros((3, 8)), latent).shape == (3, 2)


def test_its_randomised_arm_has_factors_of_its_own(files):
    names: dict[str, Any] = {"envs": envs}
    exec(block_with("randomise="), names)
    state = jax.jit(names["varied"].reset)(jax.random.split(jax.random.key(0), 20))
    factors = np.asarray(state.internal.sim.factors)
    assert factors.shape == (20, 2) and len(np.unique(factors[:, 0])) == 20
