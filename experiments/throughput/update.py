"""One DrAC update: both estimators, and eager PyTorch of the same mathematics on one core.

The paper's sizes: obs 27, action 8, batch 256, networks 256x2, latent 16. The JAX layer multiplies
the observation part of the first layer once for all samples of a state; PyTorch concatenates.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from drac_jax.actors import amortized
from drac_jax.algorithms import DracHParams, make_drac
from drac_jax.diversity import Diversity, all_pairs, paired
from drac_jax.types import Transition
from experiments.throughput import timing

OBS, ACTION, BATCH = 27, 8, 256
UPDATES = 10  # per timed call, in one scan, as training runs them
VARIANCE_STATES = 20_000
TORCH_SCRIPT = Path(__file__).parent / "torch_update.py"


def contender(name: str, diversity: Diversity) -> timing.Contender:
    """Make UPDATES updates of a diversity estimator, on one fixed batch."""
    algorithm = make_drac(amortized(ACTION), diversity)
    agent = algorithm.init(jax.random.key(0), DracHParams(), OBS)
    batch = random_batch(jax.random.key(1))

    def scan(agent: Any, keys: jax.Array) -> Any:
        return jax.lax.scan(lambda a, key: algorithm.update(a, batch, key), agent, keys)

    compiled = jax.jit(scan)
    keys = jax.random.split(jax.random.key(2), UPDATES)
    return timing.Contender(name, lambda: compiled(agent, keys), UPDATES)


def random_batch(key: jax.Array) -> Transition:
    """Draw one minibatch [1, B, ...]."""
    obs_key, action_key, reward_key, next_key = jax.random.split(key, 4)
    return Transition(
        obs=jax.random.normal(obs_key, (1, BATCH, OBS)),
        action=jax.random.uniform(action_key, (1, BATCH, ACTION), minval=-1.0),
        reward=jax.random.normal(reward_key, (1, BATCH)),
        discount=jnp.ones((1, BATCH)),
        next_obs=jax.random.normal(next_key, (1, BATCH, OBS)),
    )


def variance_of_d(diversity: Diversity, action_size: int) -> float:
    """Measure the variance of D over its samples, for a uniform policy."""
    shape = (diversity.num_samples, VARIANCE_STATES, action_size)
    actions = jax.random.uniform(jax.random.key(0), shape, minval=-1.0)
    return float(jax.jit(diversity.estimate)(actions).var())


def torch_seconds(python: str, repeats: int) -> list[float]:
    """Time the PyTorch script in its own interpreter, on one thread."""
    command = [python, str(TORCH_SCRIPT), "--threads", "1", "--repeats", str(repeats)]
    sizes = ["--obs-size", str(OBS), "--action-size", str(ACTION), "--batch", str(BATCH)]
    try:
        done = subprocess.run(command + sizes, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", "") or str(error)
        raise ValueError(f"--torch-python {python}: {detail.strip().splitlines()[-1]}") from None
    return timing.parse_json_line(done.stdout)["seconds_per_update"]


def main(words: list[str]) -> None:
    """Run the suite. Pin the process to one core to compare with PyTorch: --one-core."""
    parser = argparse.ArgumentParser(prog="make bench BENCH=update", description=__doc__)
    parser.add_argument("--torch-python", help="an interpreter that has torch")
    parser.add_argument("--one-core", action="store_true", help="pin to one core (Linux)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "local")
    args = parser.parse_args(words)
    if args.one_core or args.torch_python:
        pin_to_one_core()
    timings = timing.side_by_side(
        [contender("paired, 17 samples (paper)", paired()), contender("all_pairs, 6", all_pairs())],
        args.repeats,
    )
    if args.torch_python:
        timings += _torch_rounds(args.torch_python, args.repeats)
    ratios = {a: variance_of_d(all_pairs(), a) / variance_of_d(paired(), a) for a in (2, 8, 17)}
    variances = ", ".join(f"{ratio:.2f} at A = {a}" for a, ratio in ratios.items())
    compiles = ", ".join(f"{t.first_call:.1f} s" for t in timings[:2])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = (
        f"One update, float32, obs {OBS}, action {ACTION}, batch {BATCH}, {cores} core(s).\n\n"
        f"{timing.table(timings)}\n\n"
        f"Variance of D, all_pairs over paired: {variances}.\nFirst calls: {compiles}."
    )
    content = {t.name: t.seconds for t in timings} | {"variance_ratio": ratios, "cores": cores}
    print(text)
    print(f"written to {timing.save(args.out, 'update', content, text)}")


def _torch_rounds(python: str, repeats: int) -> list[timing.Timing]:
    """Alternate PyTorch with one more round of ours, so that both see the same machine."""
    ours = contender("paired, again beside PyTorch", paired())
    timing.side_by_side([ours], 1)
    mine, torch = [], []
    for _ in range(repeats):
        torch += torch_seconds(python, 1)
        mine += timing.side_by_side([ours], 1)[0].seconds
    return [
        timing.Timing(ours.name, 0.0, mine),
        timing.Timing("PyTorch eager, paired, 1 thread", 0.0, torch),
    ]


def pin_to_one_core() -> None:
    """Leave this process, its threads to come and its children one core."""
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("error: pinning to one core needs Linux; leave --one-core out")
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
