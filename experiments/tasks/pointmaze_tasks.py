"""MultiGoal point mazes on MJX: three maps, a reward only on arrival at a goal."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import envs
from drac_jax.algorithms import DracHParams
from drac_jax.algorithms.registry import DracOptions
from drac_jax.runs.setup.experiment import EvalConfig, Experiment, Perturbed, RunConfig
from drac_jax.training.schedule import TrainConfig
from drac_jax.types import Environment
from envs.mazes import maze_map, perturb
from experiments.tasks.every_method import every_method, maze_settings


@dataclass(frozen=True)
class PointMazeOptions:
    """Options of the point mazes."""

    layout: Literal["simple", "medium", "hard"] = "simple"  # the map
    reward: Literal["sparse", "dense"] = "sparse"  # 100 on arrival, or for coming nearer
    obstacles: bool = False  # walls on the map's `o` cells
    merge_walls: bool = True  # long boxes, not one per cell: faster; differs at seams
    # `authors` is the paper's, `farama` that of gymnasium-robotics: see envs/mazes/point_maze.py.
    # Runs that do not name their dynamics were trained before there was a choice.
    dynamics: maze_map.Dynamics = field(default="authors", metadata={"unnamed": "farama"})
    impl: Literal["jax", "c"] = "jax"  # engine; c on CPUs


def make_env(options: PointMazeOptions, obstacles: bool) -> Environment:
    """Make the maze; `obstacles` asks for the walls of the obstacle test."""
    return envs.make(
        "point_maze",
        layout=options.layout,
        reward=options.reward,
        obstacles=obstacles or options.obstacles,
        merge_walls=options.merge_walls,
        dynamics=options.dynamics,
        impl=options.impl,
    )


def make_perturbed(options: PointMazeOptions, most: int, maps: int) -> Perturbed:
    """Make the maps of the random obstacle test: 0, 1, ... `most` walls added, `maps` of each."""
    _, rows, max_steps = maze_map.choose(options.layout)
    walls, layouts = perturb.with_random_walls(rows, most, maps, options.obstacles)
    env = envs.make(
        "point_mazes",
        layouts=layouts,
        max_steps=max_steps,
        reward=options.reward,
        obstacles=options.obstacles,
        merge_walls=options.merge_walls,
        dynamics=options.dynamics,
        impl=options.impl,
    )
    build = partial(maze_map.build, obstacles=options.obstacles)
    return Perturbed(env, walls, lambda i: build(layouts[i]).scene())


def _experiments(
    layout: Literal["simple", "medium", "hard"], env_steps: int, eval: EvalConfig
) -> list[Experiment]:
    # The paper's loop: one environment, one update per step, eight pairs of samples, beta 0.8.
    paper: RunConfig = RunConfig(
        env=PointMazeOptions(layout),
        algorithm=DracOptions(estimator="paired", num_samples=17),
        hparams=DracHParams(beta=0.8),
        train=TrainConfig(env_steps=env_steps, epochs=25),
        eval=eval,
    )
    default = replace(paper, algorithm=DracOptions())
    # Many environments, half of which hold their latents: after 400 updates, 512 episodes find two
    # to four goals of simple and medium with fresh latents in every step (three seeds each), and
    # all four with latents held for 50 steps. A reward 100 steps away reaches the start sooner with
    # faster critics, and with gamma 0.98 a step in vain costs 2 % of it: more than the critics err
    # between goals.
    fast = replace(
        default,
        hparams=default.hparams.replace(gamma=0.98, critic_lr=1e-3, tau=0.02),
        train=TrainConfig(
            env_steps=10 * env_steps,
            num_envs=256,
            held_envs=128,
            updates_per_iteration=4,
            epochs=25,
        ),
    )
    amortized = Experiment(
        name=f"pointmaze_{layout}_amortized",
        summary=f"point maze, {layout} map, sparse reward",
        method="amortized",
        make_env=make_env,
        presets={"paper": paper, "default": default, "fast": fast, "gpu": _for_gpu(fast)},
        make_perturbed=make_perturbed,
    )
    return every_method(amortized, maze_settings(layout))


def _for_gpu(fast: RunConfig) -> RunConfig:
    """Take as many updates per env step in larger pieces: a step of 4,096 environments takes a
    large accelerator no longer than six updates."""
    train = replace(fast.train, num_envs=1024, held_envs=512, updates_per_iteration=16)
    return replace(fast, algorithm=DracOptions(precision="tf32"), train=train)


EXPERIMENTS = [
    *_experiments("simple", 100_000, EvalConfig(episodes=40, final_episodes=80)),
    *_experiments("medium", 200_000, EvalConfig(episodes=40, final_episodes=80)),
    *_experiments("hard", 300_000, EvalConfig(episodes=80, final_episodes=160)),
]
