"""Environment steps per second under random actions, and the compile time of a whole epoch."""

import argparse
import time
from pathlib import Path

import jax

import envs
from drac_jax import job as jobs
from drac_jax import sweep
from drac_jax.types import Environment, EnvState
from experiments import find
from experiments.throughput import timing

STEPS = 200  # per timed call, in one scan
ENVIRONMENTS = {
    "MultiGoal": ("multigoal", {}),
    "PointMaze simple": ("point_maze", {"layout": "simple"}),
    "PointMaze medium": ("point_maze", {"layout": "medium"}),
    "PointMaze hard": ("point_maze", {"layout": "hard"}),
}
COMPILED = ("multigoal_amortized", "pointmaze_simple_amortized", "pointmaze_hard_amortized")


def contender(name: str, env: Environment, num_envs: int) -> timing.Contender:
    """Make STEPS steps of all environments."""

    def step(state: EnvState, key: jax.Array) -> tuple[EnvState, None]:
        action = jax.random.uniform(key, (num_envs, env.spec.action_size), minval=-1.0)
        return env.step(state, action), None

    state = env.reset(jax.random.split(jax.random.key(0), num_envs))
    keys = jax.random.split(jax.random.key(1), STEPS)
    compiled = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys)[0])
    return timing.Contender(name, lambda: compiled(state, keys), STEPS * num_envs)


def epoch_compile_seconds(name: str) -> float:
    """Compile the epoch of an experiment's default preset, for one seed."""
    job, _ = jobs.prepare(find(name), find(name).config(), "default")
    state = jobs.abstract_state(job)
    began = time.perf_counter()
    jax.jit(sweep.over_members(job.functions.epoch), donate_argnums=0).lower(state).compile()
    return time.perf_counter() - began


def main(words: list[str]) -> None:
    """Run the suite."""
    parser = argparse.ArgumentParser(prog="make bench BENCH=envs", description=__doc__)
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "local")
    args = parser.parse_args(words)
    contenders = [
        contender(name, envs.make(env, **options), args.num_envs)
        for name, (env, options) in ENVIRONMENTS.items()
    ]
    timings = timing.side_by_side(contenders, args.repeats)
    compiles = {name: epoch_compile_seconds(name) for name in COMPILED}
    lines = ["| environment | env steps/s, median | min - max | first call |"]
    lines.append("| --- | ---: | ---: | ---: |")
    for t in timings:
        low, high = 1 / max(t.seconds), 1 / min(t.seconds)
        rates = f"{1 / t.median:,.0f} | {low:,.0f} - {high:,.0f}"
        lines.append(f"| {t.name} | {rates} | {t.first_call:.1f} s |")
    lines += ["", "| one epoch, preset default, one seed | compile |", "| --- | ---: |"]
    lines += [f"| {name} | {seconds:.1f} s |" for name, seconds in compiles.items()]
    text = f"{args.num_envs} environments, random actions.\n\n" + "\n".join(lines)
    content = {t.name: t.seconds for t in timings} | {"epoch_compile_s": compiles}
    print(text)
    print(f"written to {timing.save(args.out, 'envs', content, text)}")
