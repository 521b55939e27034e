"""Environment steps per second under random actions, beside C MuJoCo through Gymnasium."""

import time
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import envs
from drac_jax.runs.setup import run_setup
from drac_jax.training import sweep
from drac_jax.types import Environment, EnvState
from envs.mazes.maze_map import LAYOUTS
from envs.mazes.point_maze import MOVES
from experiments import find
from experiments.throughput import timing

# Env steps per timed call, in one scan.
SCAN_STEPS = {"maze": 200, "gymnasium": 4, "fast": 20}
MAZES = {
    "MultiGoal": ("multigoal", {}),
    **{
        f"PointMaze {layout}, {dynamics}": ("point_maze", {"layout": layout, "dynamics": dynamics})
        for layout in LAYOUTS
        for dynamics in MOVES
    },
}
ROBOTS = {
    "Ant": "ant",
    "HalfCheetah": "halfcheetah",
    "Hopper": "hopper",
    "Humanoid": "humanoid",
    "Swimmer": "swimmer",
    "Walker2d": "walker2d",
}
FIDELITIES = ("gymnasium", "fast")
C_ENVS, C_STEPS = 4, 250  # of Gymnasium's synchronous vector environment
SETTLE_STEPS = 100  # before the one-step difference is taken
COMPILED = ("multigoal_amortized", "pointmaze_simple_amortized", "pointmaze_hard_amortized")


@dataclass(frozen=True)
class Options(timing.Options):
    """Environment steps per second under random actions, beside C MuJoCo through Gymnasium.

    Example: python -m experiments bench envs --num-envs 1024 --robots ant
    """

    num_envs: int = 256  # environments that step together
    robots: tuple[str, ...] = tuple(ROBOTS)  # locomotion tasks; none if no name follows


def contender(name: str, env: Environment, num_envs: int, steps: int) -> timing.Contender:
    """Make `steps` steps of all environments."""

    def step(state: EnvState, key: jax.Array) -> tuple[EnvState, None]:
        action = jax.random.uniform(key, (num_envs, env.spec.action_size), minval=-1.0)
        return env.step(state, action), None

    state = jax.jit(env.reset)(jax.random.split(jax.random.key(0), num_envs))
    keys = jax.random.split(jax.random.key(1), steps)
    compiled = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys)[0])
    return timing.Contender(name, lambda: compiled(state, keys), steps * num_envs)


def c_contender(name: str) -> timing.Contender:
    """Make steps of Gymnasium's own environment on C MuJoCo, synchronous, in this process."""
    import gymnasium

    gymnasium.logger.min_level = gymnasium.logger.ERROR  # it says that v4 is old, for every copy
    vector = gymnasium.make_vec(f"{name}-v4", num_envs=C_ENVS, vectorization_mode="sync")
    vector.reset(seed=0)
    space: Any = vector.single_action_space
    actions = np.random.default_rng(0).uniform(
        space.low, space.high, (C_STEPS, C_ENVS, *space.shape)
    )

    def call() -> float:
        for action in actions:
            vector.step(action)
        return 0.0

    return timing.Contender(f"{name} C MuJoCo", call, C_STEPS * C_ENVS)


def one_step_difference(name: str, num_envs: int) -> np.ndarray:
    """Step the same states in both fidelities. -> [environments], the largest difference of an
    observation relative to 1 + its largest value, where no episode ends."""
    exact, fast = (envs.make(name, fidelity=fidelity, impl="jax") for fidelity in FIDELITIES)
    state = jax.jit(exact.reset)(jax.random.split(jax.random.key(0), num_envs))
    step = jax.jit(fast.step)
    for key in jax.random.split(jax.random.key(1), SETTLE_STEPS):
        action = jax.random.uniform(key, (num_envs, exact.spec.action_size), minval=-1.0)
        before, state = state, step(state, action)
    ours, theirs = state, jax.jit(exact.step)(before, action)
    error = jnp.abs(ours.info["terminal_obs"] - theirs.info["terminal_obs"]).max(axis=1)
    error /= 1.0 + jnp.abs(theirs.info["terminal_obs"]).max(axis=1)
    return np.asarray(error)[~np.asarray(theirs.done)]


def robot_rows(robots: list[str], num_envs: int, repeats: int) -> tuple[list[str], dict[str, Any]]:
    """Measure both fidelities and C in alternation, robot by robot. -> rows, and every figure."""
    rows: list[str] = []
    content: dict[str, Any] = {}
    for name in robots:
        made = {f: envs.make(ROBOTS[name], fidelity=f, impl="jax") for f in FIDELITIES}
        contenders = [
            contender(f"{name} {f}", env, num_envs, SCAN_STEPS[f]) for f, env in made.items()
        ]
        timings = timing.side_by_side([*contenders, c_contender(name)], repeats)
        error = one_step_difference(ROBOTS[name], num_envs)
        exact, fast, c = timings
        rates = " | ".join(f"{1 / t.median:,.0f} ({_range(t)})" for t in timings)
        rows.append(
            f"| {name} | {rates} | {exact.median / fast.median:.1f} | {c.median / fast.median:.2f} "
            f"| {np.median(error):.0e}, {error.max():.0e} | {exact.first_call:.0f} s, "
            f"{fast.first_call:.0f} s |"
        )
        print(rows[-1], flush=True)
        content |= {t.name: t.seconds for t in timings}
        content[f"{name} one-step difference"] = [float(np.median(error)), float(error.max())]
    return rows, content


def _range(measured: timing.Timing) -> str:
    return f"{1 / max(measured.seconds):,.0f} - {1 / min(measured.seconds):,.0f}"


def maze_rows(num_envs: int, repeats: int) -> tuple[list[str], dict[str, Any]]:
    """Measure MultiGoal and the point mazes. -> rows, and every figure."""
    contenders = [
        contender(name, envs.make(env, **options), num_envs, SCAN_STEPS["maze"])
        for name, (env, options) in MAZES.items()
    ]
    timings = timing.side_by_side(contenders, repeats)
    rows = [
        f"| {t.name} | {1 / t.median:,.0f} | {_range(t)} | {t.first_call:.1f} s |" for t in timings
    ]
    return rows, {t.name: t.seconds for t in timings}


def epoch_compile_seconds(name: str) -> float:
    """Compile the epoch of an experiment's default preset, for one seed."""
    setup, _ = run_setup.prepare(find(name), find(name).config(), "default")
    state = run_setup.abstract_state(setup)
    began = time.perf_counter()
    jax.jit(sweep.over_members(setup.functions.epoch), donate_argnums=0).lower(state).compile()
    return time.perf_counter() - began


def measure(options: Options) -> None:
    """Run the suite."""
    timing.check_names("--robots", options.robots, ROBOTS)
    rows, content = maze_rows(options.num_envs, options.repeats)
    compiles = {name: epoch_compile_seconds(name) for name in COMPILED}
    robots, more = robot_rows(list(options.robots), options.num_envs, options.repeats)
    lines = [
        f"{options.num_envs} environments, random actions, env steps per second: median and "
        f"range of {options.repeats}.",
        "",
        "| environment | env steps/s, median | min - max | first call |",
        "| --- | ---: | ---: | ---: |",
        *rows,
        "",
        "| one epoch, preset default, one seed | compile |",
        "| --- | ---: |",
        *(f"| {name} | {seconds:.1f} s |" for name, seconds in compiles.items()),
        "",
        f"C MuJoCo: {C_ENVS} environments of Gymnasium in this process, one after the other. "
        "Difference: of an observation after one step from the same state, relative to 1 + its "
        "largest value, median and maximum over the environments.",
        "",
        "| env steps/s | `gymnasium` | `fast` | C MuJoCo | fast / gymnasium | fast / C "
        "| fast: one-step difference | first calls |",
        "| --- " + "| ---: " * 7 + "|",
        *robots,
    ]
    text = "\n".join(lines)
    content |= more | {"epoch_compile_s": compiles, "num_envs": options.num_envs}
    print(text)
    print(f"written to {timing.save(options.out, 'envs', content, text)}")
