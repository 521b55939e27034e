"""Environment steps per second of the engine `c`, beside bare C MuJoCo in a Python loop.

Bare: the same model, mj_step of each environment by as many threads, random controls; without
observations, rewards, episodes or JAX.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import mujoco
import numpy as np

import envs
from envs.engines.mjx_engine import gymnasium_spec
from envs.locomotion.robots import ROBOTS
from experiments.throughput import timing
from experiments.throughput.suites import env_steps

SECONDS = 0.3  # of a timed call, about
# Env steps per second of one thread, about, for the number of steps of a call.
SPEED = {"ant": 4e3, "halfcheetah": 2e4, "hopper": 1e4, "humanoid": 4e3, "swimmer": 2e4}


@dataclass(frozen=True)
class Options(timing.Options):
    """Environment steps per second of the engine `c`, beside bare C MuJoCo in a Python loop.

    Example: python -m experiments bench host --one-core
    """

    robots: tuple[str, ...] = ("ant", "halfcheetah", "hopper", "humanoid")  # locomotion tasks
    sizes: tuple[int, ...] = (1, 16, 64)  # environments


def bare(name: str, num_envs: int, steps: int) -> timing.Contender:
    """Make steps of C MuJoCo alone; every call begins anew."""
    robot, threads = ROBOTS[name](False), timing.cores()
    model = gymnasium_spec(robot.file).compile()
    datas = [mujoco.MjData(model) for _ in range(num_envs)]
    shape = (steps, num_envs, model.nu)
    low, high = model.actuator_ctrlrange[0]
    ctrl = np.random.default_rng(0).uniform(low, high, shape)
    pool = ThreadPoolExecutor(threads)

    def serve(thread: int) -> None:
        for row in range(thread, num_envs, threads):
            mujoco.mj_resetData(model, datas[row])
        for step in range(steps):
            for row in range(thread, num_envs, threads):
                datas[row].ctrl[:] = ctrl[step, row]
                mujoco.mj_step(model, datas[row], robot.frame_skip)

    def call() -> float:
        list(pool.map(serve, range(threads)))
        return 0.0

    return timing.Contender(f"{name} x {num_envs}, bare", call, steps * num_envs)


def measure(options: Options) -> None:
    """Run the suite."""
    timing.check_names("--robots", options.robots, ROBOTS)
    timing.pin(options.one_core)
    made: list[timing.Contender] = []
    for name in options.robots:
        env = envs.make(name, impl="c")
        for size in options.sizes:
            steps = max(2, round(SECONDS * SPEED.get(name, 1e4) / size))
            made.append(env_steps.contender(f"{name} x {size}, engine c", env, size, steps))
            made.append(bare(name, size, steps))
    timings = timing.side_by_side(made, options.repeats)
    lines = [
        f"Env steps per second, random actions, {timing.cores()} core(s).",
        "",
        "| task, environments | engine `c` | bare | ratio | first call |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {ours.name.removesuffix(', engine c')} | {1 / ours.median:,.0f} | "
            f"{1 / alone.median:,.0f} | {alone.median / ours.median:.2f} | "
            f"{ours.first_call:.1f} s |"
            for ours, alone in zip(timings[::2], timings[1::2], strict=True)
        ),
    ]
    timing.report_suite(options.out, "host", timings, "\n".join(lines))
