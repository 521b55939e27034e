"""MultiGoal ant mazes on MJX: Gymnasium's ant in three maps, paid for coming nearer to a goal."""

from dataclasses import dataclass, field, replace
from typing import Literal

import envs
from drac_jax.algorithms import DracHParams
from drac_jax.algorithms.registry import DracOptions
from drac_jax.runs.setup.experiment import EvalConfig, Experiment, Perturbed, RunConfig
from drac_jax.training.schedule import TrainConfig
from drac_jax.types import Environment
from envs.mazes import maze_map, perturb
from experiments.tasks.every_method import every_method, maze_settings

# As the fast preset of the point mazes: half of the environments hold their latents.
FAST_TRAIN = TrainConfig(
    env_steps=8_000_000, num_envs=256, held_envs=128, updates_per_iteration=8, epochs=50
)
# Several environments share the price of a call to C MuJoCo.
CPU_TRAIN = TrainConfig(
    env_steps=1_000_000, num_envs=16, held_envs=8, updates_per_iteration=4, epochs=50
)


@dataclass(frozen=True)
class AntMazeOptions:
    """Options of the ant mazes."""

    layout: Literal["simple", "medium", "hard"] = "simple"  # the map
    reward: Literal["sparse", "dense"] = "dense"  # 100 on arrival, or for coming nearer
    obstacles: bool = False  # walls on the map's `o` cells
    # `authors` is the paper's, `farama` that of gymnasium-robotics: see envs/mazes/ant_maze.py.
    # Runs that do not name their dynamics were trained before there was a choice.
    dynamics: maze_map.Dynamics = field(default="authors", metadata={"unnamed": "farama"})
    contact_forces: bool = False  # observe them as well
    cell_scale: float = 4.0  # side of a cell, m
    fidelity: Literal["gymnasium", "fast"] = "gymnasium"  # C MuJoCo's physics, or a cheaper one
    # The engine, as of the locomotion tasks. Runs that do not name it had `jax`.
    impl: Literal["auto", "jax", "warp", "c"] = field(default="auto", metadata={"unnamed": "jax"})


def make_env(options: AntMazeOptions, obstacles: bool) -> Environment:
    """Make the maze; `obstacles` asks for the walls of the obstacle test."""
    walls = obstacles or options.obstacles
    return envs.make("ant_maze", **vars(replace(options, obstacles=walls)))


def make_perturbed(options: AntMazeOptions, most: int, maps: int) -> Perturbed:
    """Make the maps of the random obstacle test: 0, 1, ... `most` walls added, `maps` of each."""
    _, rows, _ = maze_map.choose(options.layout)
    walls, layouts = perturb.with_random_walls(rows, most, maps, options.obstacles)
    same = {name: value for name, value in vars(options).items() if name != "layout"}
    env = envs.make("ant_mazes", layouts=layouts, **same)
    shape = (options.cell_scale, options.obstacles)
    return Perturbed(env, walls, lambda i: maze_map.build(layouts[i], *shape).scene())


def _experiments(layout: Literal["simple", "medium", "hard"], eval: EvalConfig) -> list[Experiment]:
    # The paper's loop and beta of the mazes, in cells of 1 m as the reference implementation has
    # them; of the budget it says nothing, so it is that of the locomotion tasks.
    paper: RunConfig = RunConfig(
        env=AntMazeOptions(layout, cell_scale=1.0),
        algorithm=DracOptions(estimator="paired", num_samples=17),
        hparams=DracHParams(beta=0.8),
        train=TrainConfig(env_steps=1_000_000, epochs=50),
        eval=eval,
    )
    default = replace(paper, env=AntMazeOptions(layout), algorithm=DracOptions())
    fast = replace(
        default,
        env=AntMazeOptions(layout, fidelity="fast"),
        hparams=DracHParams(beta=0.72, gamma=0.98, critic_lr=1e-3, tau=0.02),
        train=FAST_TRAIN,
    )
    cpu = replace(default, hparams=fast.hparams, train=CPU_TRAIN)
    amortized = Experiment(
        name=f"antmaze_{layout}_amortized",
        summary=f"ant maze, {layout} map, dense reward",
        method="amortized",
        make_env=make_env,
        presets={"paper": paper, "default": default, "fast": fast, "cpu": cpu},
        make_perturbed=make_perturbed,
        suited={"cpu": "cpu"},
    )
    return every_method(amortized, maze_settings(layout))


EXPERIMENTS = [
    *_experiments("simple", EvalConfig(episodes=40, final_episodes=80)),
    *_experiments("medium", EvalConfig(episodes=40, final_episodes=80)),
    *_experiments("hard", EvalConfig(episodes=80, final_episodes=160)),
]
