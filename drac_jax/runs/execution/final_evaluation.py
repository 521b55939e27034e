"""The final evaluation of every member, and the pictures of a run."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from drac_jax.figures import plots
from drac_jax.measures import goal_reaching
from drac_jax.runs.hardware import devices, hosts
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import run_folder
from drac_jax.training import sweep
from drac_jax.training.evaluate import Episodes, make_evaluate
from drac_jax.types import Environment

Result = dict[str, Any]


def summarise(setup: RunSetup, episodes: Episodes) -> list[Result]:
    """Summarise each member's episodes, under its label. episodes: leaves [members, N, ...]."""
    goals = setup.env.spec.num_goals
    return [
        label
        | goal_reaching.episode_summary(
            episodes.returns[i], episodes.lengths[i], episodes.goals[i], goals
        )
        | {"eval/broken_episodes": int(episodes.broken[i].sum())}
        for i, label in enumerate(setup.members.labels)
    ]


def play(
    setup: RunSetup, env: Environment, agent: Any, keys: jax.Array, count: int, paths: bool = False
) -> Episodes:
    """Play `count` episodes with every member. keys: [members]. -> leaves [members, count, ...]."""
    evaluate = make_evaluate(env, setup.algorithm.act, count, record_paths=paths)
    program = devices.lower(setup.mesh, sweep.each_member(evaluate), agent, keys).compile()
    return jax.device_get(program(agent, keys))


def final_evaluation(
    setup: RunSetup, env: Environment, agent: Any, keys: jax.Array
) -> tuple[list[Result], Episodes]:
    """Play the headline episodes and, where there are goals, five per group for both SR5.

    -> one result per member, and the headline episodes with their paths.
    """
    config = setup.config.eval
    play_keys, removal_keys, obstacle_keys = jax.vmap(lambda k: jax.random.split(k, 3))(keys).T
    episodes = play(setup, env, agent, play_keys, config.final_episodes, paths=True)
    results = summarise(setup, episodes)
    if goals := env.spec.num_goals:
        groups = (config.sr5_groups, goal_reaching.GROUP_SIZE)
        count = groups[0] * groups[1]
        free = play(setup, env, agent, removal_keys, count).goals
        blocked_env = setup.experiment.make_env(setup.config.env, True)
        blocked = play(setup, blocked_env, agent, obstacle_keys, count).goals
        for i, result in enumerate(results):
            reached = free[i].reshape(groups)
            result["eval/removal_sr5"] = goal_reaching.removal_sr5(reached, goals)
            result["eval/removal_sr5_reference"] = goal_reaching.removal_sr5_reference(
                reached, goals
            )
            result["eval/obstacle_sr5"] = goal_reaching.obstacle_sr5(blocked[i].reshape(groups))
    if (study := setup.experiment.study) is not None:
        for result, paths in zip(results, episodes.paths, strict=True):
            result |= study.measure(setup.config.env, paths)
    return results, episodes


def save_episodes(setup: RunSetup, folder: Path, episodes: Episodes) -> None:
    """Keep what the map shows of the headline episodes: `paths` [members, N, T + 1, 2], `goals`
    and `returns` [members, N]. Nothing where the task has no map."""
    if setup.env.spec.scene is not None:
        np.savez_compressed(
            folder / run_folder.EPISODES,
            paths=np.asarray(episodes.paths[..., :2], np.float32),
            goals=np.asarray(episodes.goals),
            returns=np.asarray(episodes.returns),
        )


def draw(setup: RunSetup, folder: Path, episodes: Episodes, results: Sequence[Result]) -> None:
    """Draw learning curves, trajectories where there is a map, and the sweep where there is one."""
    records = run_folder.read_records(folder / run_folder.METRICS)
    plots.curves(records, setup.experiment.name, folder / "curves.png")
    draw_trajectories(setup, folder, episodes, results)
    for name in setup.config.grid:
        plots.sweep(results, name, setup.env.spec.num_goals, folder / f"sweep_{name}.png")


def draw_study(setup: RunSetup, folder: Path, episodes: Episodes, agent: Any) -> None:
    """Draw what the domain itself has to show, of the first member. agent: leaves [members, ...];
    all processes must call it, the first one draws."""
    if (study := setup.experiment.study) is None:
        return
    take = jax.jit(
        lambda tree: jax.tree.map(lambda x: x[0], tree),
        out_shardings=devices.everywhere(setup.mesh),
    )
    first = jax.device_get(take(agent))
    if hosts.is_first():
        act = jax.jit(partial(setup.algorithm.act, first))
        study.draw(setup.config.env, act, episodes.paths[0], folder)


def draw_trajectories(
    setup: RunSetup, folder: Path, episodes: Episodes, results: Sequence[Result]
) -> None:
    """Draw every member's episodes on the map, where the task has one."""
    if (scene := setup.env.spec.scene) is not None:
        titles = [_title(result) for result in results]
        path = folder / "trajectories.png"
        plots.trajectories([scene] * len(titles), episodes.paths, episodes.goals, titles, path)


def _title(result: Result) -> str:
    label = " ".join(f"{k} {v:g}" for k, v in result.items() if "/" not in k)
    arrive = 100 * result["eval/arrival_rate"]
    goals = plots.count_of_goals(result["eval/reachable_modes"])
    return f"{label}: {goals}, {arrive:.0f} % arrive"
