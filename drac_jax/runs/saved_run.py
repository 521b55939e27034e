"""Play saved runs again: evaluate them, in other environments too, and on perturbed maps."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from drac_jax import ranges
from drac_jax.figures import plots
from drac_jax.measures import wall_robustness
from drac_jax.measures.wall_robustness import RobustnessConfig
from drac_jax.runs import saved_agent
from drac_jax.runs.execution import final_evaluation, restore
from drac_jax.runs.hardware import devices, machine
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup import run_setup, segments
from drac_jax.runs.setup.experiment import Experiment, Perturbed, RunConfig
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import packed_agent, run_folder
from drac_jax.runs.storage.checkpoint import Checkpoints
from drac_jax.runs.storage.console import Reporter
from drac_jax.training import sweep
from drac_jax.training.evaluate import Episodes, make_evaluate
from drac_jax.types import Environment

MAPS_DRAWN = 8


def env_to_play(
    experiment: Experiment, folder: Path, asked: RunConfig, may_differ: Sequence[str] = ("env",)
) -> Environment:
    """Make the environment that a saved run is to be played in.

    Raises ValueError where `asked` differs from how it was trained in another field than those of
    `may_differ`, or the environment has other sizes.
    """
    identity = saved_agent.read_identity(folder)
    trained = saved_agent.config_of(experiment, identity)
    allowed = replace(asked, **{name: getattr(trained, name) for name in may_differ})
    if found := exp.differences(exp.to_dict(trained), exp.to_dict(allowed)):
        names = " and ".join(may_differ)
        raise ValueError(f"only {names} can differ from training: {'; '.join(found)}")
    env = experiment.make_env(asked.env, False)
    sizes = (env.spec.obs_size, env.spec.action_size)
    saved_sizes = (identity["spec"]["obs_size"], identity["spec"]["action_size"])
    if sizes != saved_sizes:
        raise ValueError(f"{env.spec.name} has (obs, action) sizes {sizes}, not {saved_sizes}")
    return env


def play(
    folder: Path, env: Environment, member: int, episodes: int, seed: int, best: bool = False
) -> Episodes:
    """Play episodes with one member of a saved run, and keep what can be drawn of them.

    seed: of the episodes. -> with the paths, and with qpos [N, T, Q] as records where the
    environment has a visual. Raises ValueError for a member or a number of episodes that cannot
    be, and where there is no checkpoint.
    """
    if episodes < 1:
        raise ValueError(f"episodes={episodes} must be at least 1")
    algorithm, agent = saved_agent.load_agent(folder, member, best)
    qpos = env.visual.qpos if env.visual else None
    evaluate = make_evaluate(env, algorithm.act, episodes, record_paths=True, record=qpos)
    return jax.device_get(jax.jit(evaluate)(agent, jax.random.key(seed)))


def evaluate(
    setup: RunSetup, asked: RunConfig, folder: Path, reporter: Reporter, best: bool = False
) -> tuple[Path, list[dict[str, Any]]]:
    """Play a saved run with other evaluation values (`eval`) or another environment (`env`).

    setup: as it was trained; best: with the best agents. -> the folder of the results, and one
    result per member. Raises ValueError as `env_to_play` does.
    """
    env = env_to_play(setup.experiment, folder, asked, ("env", "eval"))
    agent, epoch = _trained_agent(setup, folder, reporter, best)
    setup = setup._replace(env=env, config=asked)
    reporter.busy(f"evaluating epoch {epoch} on {env.spec.name}")
    keys = _keys(setup, epoch)
    results, episodes = final_evaluation.final_evaluation(setup, env, agent, keys)
    place = run_folder.new_folder(folder / "evaluations", env.spec.name)
    content = {"config": exp.to_dict(asked), "epoch": epoch, "seeds": results}
    content |= {"agents": "best"} if best else {}
    run_folder.write_json(place / run_folder.SUMMARY, content | machine.environment_facts())
    final_evaluation.draw_trajectories(setup, place, episodes, results)
    return place, results


def _trained_agent(
    setup: RunSetup, folder: Path, reporter: Reporter, best: bool
) -> tuple[Any, int]:
    """Read the agents of all members, the newest or the best, and their epoch."""
    shapes = run_setup.abstract_state(setup)
    if best or (folder / packed_agent.NAME).exists():
        return saved_agent.newest_agent(folder, shapes.agent, best)
    setup = segments.knowing(setup, saved_agent.read_identity(folder))
    checkpoints = Checkpoints(folder / run_folder.CHECKPOINTS)
    saved = restore.load(setup, (shapes, None), checkpoints, reporter)
    return saved.state.agent, saved.number


def _keys(setup: RunSetup, epoch: int) -> jax.Array:
    """Make the members' evaluation keys, where their agents are."""
    keys = jax.vmap(jax.random.fold_in, (0, None))(sweep.keys(setup.members)[1], epoch)
    return devices.copies(setup.mesh, keys)


def play_perturbed(
    setup: RunSetup, config: RobustnessConfig, folder: Path, reporter: Reporter
) -> list[dict[str, Any]]:
    """Play a saved run on maps with random walls added, and write and draw what comes of it.

    setup: as it was trained. -> one record per member and number of walls. Raises ValueError where
    the experiment has no such maps.
    """
    ranges.check(config)
    if setup.experiment.make_perturbed is None:
        raise ValueError(f"{setup.experiment.name} has no maps to perturb; use the run of a maze")
    perturbed = setup.experiment.make_perturbed(setup.config.env, config.walls, config.maps)
    env, count = perturbed.env, len(perturbed.walls)
    agent, epoch = saved_agent.newest_agent(folder, run_setup.abstract_state(setup).agent)
    reporter.busy(f"playing {config.episodes} episodes on each of {count} maps")
    keys = _keys(setup, epoch)
    episodes = final_evaluation.play(setup, env, agent, keys, config.episodes * count, paths=True)
    goals = env.spec.num_goals
    arrays = episodes.returns, episodes.lengths, episodes.goals
    records = wall_robustness.summarise(setup.members.labels, *arrays, perturbed.walls, goals)
    ceiling = wall_robustness.ceiling(config.episodes, goals)
    content = {"config": exp.to_dict(config), "epoch": epoch, "ceiling": ceiling}
    content |= {"broken_episodes": int(episodes.broken.sum()), "records": records}
    content |= machine.environment_facts()
    run_folder.write_json(folder / "robustness.json", content)
    title = f"{setup.experiment.name}: {config.episodes} episodes on each of {config.maps} maps"
    plots.curves(records, title, folder / "robustness.png", x="walls", ceiling=ceiling)
    _draw_maps(perturbed, episodes, folder / "robustness_maps.png")
    return records


def _draw_maps(perturbed: Perturbed, episodes: Episodes, path: Path) -> None:
    """Draw the first member's episodes on some of the maps, from few walls to many."""
    count = len(perturbed.walls)
    shown = np.linspace(0, count - 1, min(MAPS_DRAWN, count)).astype(int)
    plots.trajectories(
        [perturbed.scene(i) for i in shown],
        [episodes.paths[0, i::count] for i in shown],
        [episodes.goals[0, i::count] for i in shown],
        [f"{perturbed.walls[i]} walls added" for i in shown],
        path,
    )
