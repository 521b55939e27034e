"""The studies, by name."""

from collections.abc import Iterator
from dataclasses import replace

from drac_jax.algorithms.registry import METHODS, DracOptions
from drac_jax.runs.setup.experiment import EvalConfig, RunConfig
from experiments.studies.study import AtLeast, AtLeastTimes, PlannedRun, Study, seeds_in_turn
from experiments.tasks.locomotion_tasks import ACTIONS

ROBOTS = tuple(name.lower() for name in ACTIONS)
# SAC's published returns after 1,000,000 updates, the lower ones of those that disagree.
SAC_RETURNS = {
    "ant": 4600.0,
    "halfcheetah": 9600.0,
    "hopper": 2300.0,
    "humanoid": 5000.0,
    "walker2d": 3600.0,
    "swimmer": 44.0,
}
RETURN, GOALS, SCORE = "eval/return", "eval/reachable_modes", "eval/multi_goal_score"


def _locomotion(seed: int) -> Iterator[PlannedRun]:
    for robot in ROBOTS:
        for method in ("amortized", "sac"):
            yield PlannedRun(robot, method, f"{robot}_{method}", "cpu", seed)


LOCOMOTION_CPU = Study(
    "locomotion_cpu",
    "Six locomotion tasks, 1,000,000 env steps and 250,000 updates a seed, C MuJoCo",
    seeds_in_turn(_locomotion, 3),
    (
        *(AtLeast(robot, "sac", RETURN, 0.9 * SAC_RETURNS[robot], 3) for robot in ROBOTS),
        AtLeastTimes("amortized", "sac", RETURN, 0.9, ROBOTS, 3),
        AtLeastTimes("amortized", "sac", RETURN, 1.0, ROBOTS, 3, of_median_task=True),
    ),
)


def _small(config: RunConfig) -> RunConfig:
    """Take networks of 64x64, a CPU's choice."""
    return replace(config, algorithm=replace(config.algorithm, hidden=(64, 64)))


def _paired(config: RunConfig) -> RunConfig:
    options = DracOptions(estimator="paired", num_samples=17)
    return _small(replace(config, algorithm=options))


def _estimators(five: int) -> Iterator[PlannedRun]:
    for task, preset in (("multigoal", "default"), ("pointmaze_simple", "fast")):
        for label, change in (("all_pairs", _small), ("paired", _paired)):
            yield PlannedRun(task, label, f"{task}_amortized", preset, 5 * five, 5, change)


ESTIMATORS = Study(
    "estimators",
    "The diversity from all pairs of six samples beside that of eight pairs, networks 64x64",
    seeds_in_turn(_estimators, 2),
    (AtLeastTimes("all_pairs", "paired", SCORE, 0.95, ("multigoal", "pointmaze_simple"), 10),),
)


def _mazes(seed: int) -> Iterator[PlannedRun]:
    for layout in ("simple", "medium"):
        for method in ("amortized", "sac", "dacer", "sql", "diffusion"):
            task = f"pointmaze_{layout}"
            yield PlannedRun(task, method, f"{task}_{method}", "fast", seed, 3, _small)


MAZES = Study(
    "mazes",
    "Point mazes, the methods side by side with the preset `fast`, networks 64x64",
    seeds_in_turn(_mazes, 1),
    tuple(AtLeast(f"pointmaze_{x}", "amortized", GOALS, 4, 3) for x in ("simple", "medium")),
)


def _multigoal(five: int) -> Iterator[PlannedRun]:
    for method in METHODS if five == 0 else ("flow",):
        yield PlannedRun("multigoal", method, f"multigoal_{method}", "default", 5 * five, 5, _small)


MULTIGOAL = Study(
    "multigoal",
    "MultiGoal, every method with the preset `default`, networks 64x64",
    seeds_in_turn(_multigoal, 2),
    (
        AtLeast("multigoal", "flow", GOALS, 4, 10, holding=8),
        AtLeast("multigoal", "flow", SCORE, 0.85, 10),
    ),
)


def _levels(seed: int) -> Iterator[PlannedRun]:
    for method in ("amortized", "sac"):
        yield PlannedRun("mario_puzzle", method, f"mario_puzzle_{method}", "fast", seed)


LEVELS = Study("levels", "MarioPuzzle, amortized and SAC, preset `fast`", seeds_in_turn(_levels, 3))


def _locomotion_gpu(seed: int) -> Iterator[PlannedRun]:
    for robot in ROBOTS:
        for method in ("amortized", "sac"):
            yield PlannedRun(robot, method, f"{robot}_{method}", "gpu", seed, seeds=5)


LOCOMOTION_GPU = Study(
    "locomotion_gpu",
    "Six locomotion tasks with the preset `gpu`, five seeds in one program",
    seeds_in_turn(_locomotion_gpu, 1),
    (AtLeastTimes("amortized", "sac", RETURN, 0.9, ROBOTS, 5),),
)


def _tiny(config: RunConfig) -> RunConfig:
    train = replace(config.train, env_steps=2_000, epochs=4)
    eval = EvalConfig(episodes=4, final_episodes=10, sr5_groups=4)
    return replace(
        config, algorithm=replace(config.algorithm, hidden=(8, 8)), train=train, eval=eval
    )


def _trial(seed: int) -> Iterator[PlannedRun]:
    for method in ("amortized", "sac"):
        yield PlannedRun("multigoal", method, f"multigoal_{method}", "fast", seed, change=_tiny)


TRIAL = Study(
    "trial",
    "Two methods at a size of no meaning, to try the queue in a minute",
    seeds_in_turn(_trial, 2),
    (
        AtLeast("multigoal", "amortized", RETURN, -100.0, 2),
        AtLeast("multigoal", "amortized", GOALS, 5, 2),
        AtLeastTimes("amortized", "sac", RETURN, 0.9, ("multigoal",), 3),
    ),
)

STUDIES = {
    study.name: study
    for study in (LOCOMOTION_CPU, MAZES, MULTIGOAL, ESTIMATORS, LEVELS, LOCOMOTION_GPU, TRIAL)
}
