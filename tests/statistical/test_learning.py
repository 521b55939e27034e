"""Does it learn? The README's claims, as tests of minutes to an hour: `make test-slow`."""

from dataclasses import replace

import numpy as np
import pytest

from drac_jax.runs.execution.runner import Run
from drac_jax.runs.setup import run_setup
from drac_jax.runs.storage.console import Reporter
from experiments import find

pytestmark = pytest.mark.slow


def results_of(folder, name: str, preset: str, seeds: int) -> list[dict]:
    """Train all seeds in one vmapped program, and return their final evaluations."""
    config = replace(find(name).config(preset), seeds=seeds)
    setup, _ = run_setup.prepare(find(name), config, preset)
    return Run(setup, folder, Reporter(quiet=True)).start()["seeds"]


def count_complete(results: list[dict]) -> int:
    """Count the seeds that reach all four goals and arrive in at least 90 % of episodes."""
    return sum(r["eval/reachable_modes"] == 4 and r["eval/arrival_rate"] >= 0.9 for r in results)


def test_bare_run_reaches_every_goal(tmp_path):
    results = results_of(tmp_path, "multigoal_amortized", "default", seeds=10)
    assert count_complete(results) >= 9
    assert np.median([r["eval/multi_goal_score"] for r in results]) >= 0.75


def test_fast_pointmaze_reaches_every_goal(tmp_path):
    results = results_of(tmp_path, "pointmaze_simple_amortized", "fast", seeds=8)
    assert count_complete(results) >= 7
