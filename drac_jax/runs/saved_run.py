"""Saved runs: read the config, load the policy, play it again."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax import ranges
from drac_jax.algorithms.registry import METHODS
from drac_jax.figures import plots
from drac_jax.measures import wall_robustness
from drac_jax.measures.wall_robustness import RobustnessConfig
from drac_jax.runs.execution import final_evaluation, restore
from drac_jax.runs.hardware import devices, machine
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.experiment import Experiment, Perturbed, RunConfig
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import run_folder
from drac_jax.runs.storage.checkpoint import Checkpoints
from drac_jax.runs.storage.console import Reporter
from drac_jax.training import sweep
from drac_jax.training.evaluate import Episodes, make_evaluate
from drac_jax.types import Algorithm, Environment, EnvSpec

MAPS_DRAWN = 8
Policy = Callable[[jax.Array, jax.Array], jax.Array]


def read_identity(place: Path) -> dict[str, Any]:
    """Read a run's config.json. place: its folder, or that file. Raises ValueError where the folder
    is not a run."""
    path = place if place.is_file() else place / run_folder.CONFIG
    identity = run_folder.read_json(path)
    if missing := {"experiment", "preset", "config"} - identity.keys():
        raise ValueError(f"{path} is not a run's config.json: it has no {sorted(missing)[0]!r}")
    return identity | {"config": exp.renamed(identity["config"])}


def config_of(experiment: Experiment, identity: dict[str, Any]) -> RunConfig:
    """Rebuild the configuration that a run was started with."""
    return exp.from_dict(experiment.config(identity["preset"]), identity["config"])


def load_policy(path: str | Path, member: int = 0) -> Policy:
    """Load a trained policy: (obs, key) -> action, a sample of it.

    path: a run folder; member: which of its seeds (and grid points), from 0. The policy takes
    obs [O] or [N, O] and a typed key, and returns [A] or [N, A] in [-1, 1]. Raises ValueError
    where the folder holds no policy; so does the policy for obs of another size.
    """
    algorithm, agent = load_agent(Path(path), member)
    spec = read_identity(Path(path))["spec"]

    @jax.jit
    def policy(obs: jax.Array, key: jax.Array) -> jax.Array:
        if jnp.shape(obs)[-1:] != (spec["obs_size"],):
            raise ValueError(
                f"the policy takes obs [{spec['obs_size']}] or [N, {spec['obs_size']}] of "
                f"{spec['name']}, not {list(jnp.shape(obs))}"
            )
        action = algorithm.act(agent, jnp.atleast_2d(obs), key)
        return action[0] if jnp.ndim(obs) == 1 else action

    return policy


def load_agent(folder: Path, member: int, **changes: Any) -> tuple[Algorithm, Any]:
    """Load one member's agent and the algorithm that acts with it; changes: of the method's
    options, such that the agent stays as it is. Raises ValueError as `load_policy` does."""
    identity = read_identity(folder)
    method = METHODS[identity["spec"]["method"]]
    kept = identity["spec"]  # which has what a policy needs of it
    sizes = {name: kept[name] for name in EnvSpec._fields if name in kept}
    options = replace(exp.from_dict(method.options, identity["config"]["algorithm"]), **changes)
    hparams = exp.from_dict(method.hparams, identity["config"]["hparams"])
    algorithm = method.make(EnvSpec(**sizes), options)
    count = _count_members(identity["config"])
    if not 0 <= member < count:
        raise ValueError(f"member={member} must be in 0..{count - 1}: the run has {count}")
    place, inside = run_folder.find_member(folder, identity["config"], count, member)
    if place != folder:
        return load_agent(place, inside, **changes)
    one = jax.eval_shape(lambda: algorithm.init(jax.random.key(0), hparams, sizes["obs_size"]))
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), one)
    agents, _ = _newest_agent(folder, like)
    return algorithm, jax.tree.map(lambda x: x[member], agents)


def _count_members(config: dict[str, Any]) -> int:
    count = config["seeds"]
    for values in config["grid"].values():
        count *= len(values)
    return count // config["chunks"] if config.get("chunk") else count


def _newest_agent(folder: Path, like: Any) -> tuple[Any, int]:
    """Read the newest agent that can be read, and its epoch; a run's files are left as they are."""
    checkpoints = Checkpoints(folder / run_folder.CHECKPOINTS, create=False)
    for epoch in checkpoints.numbers():
        try:
            return checkpoints.restore_agent(epoch, like), epoch
        except Exception:  # Orbax raises whatever its storage does; the one before may do
            continue
    raise ValueError("there is no checkpoint that can be read; train first, or wait an epoch")


def env_to_play(
    experiment: Experiment, folder: Path, asked: RunConfig, may_differ: Sequence[str] = ("env",)
) -> Environment:
    """Make the environment that a saved run is to be played in.

    Raises ValueError where `asked` differs from how it was trained in another field than those of
    `may_differ`, or the environment has other sizes.
    """
    identity = read_identity(folder)
    trained = config_of(experiment, identity)
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


def play(folder: Path, env: Environment, member: int, episodes: int, seed: int) -> Episodes:
    """Play episodes with one member of a saved run, and keep what can be drawn of them.

    seed: of the episodes. -> with the paths, and with qpos [N, T, Q] as records where the
    environment has a visual. Raises ValueError for a member or a number of episodes that cannot
    be, and where there is no checkpoint.
    """
    if episodes < 1:
        raise ValueError(f"episodes={episodes} must be at least 1")
    algorithm, agent = load_agent(folder, member)
    qpos = env.visual.qpos if env.visual else None
    evaluate = make_evaluate(env, algorithm.act, episodes, record_paths=True, record=qpos)
    return jax.device_get(jax.jit(evaluate)(agent, jax.random.key(seed)))


def evaluate(
    setup: RunSetup, asked: RunConfig, folder: Path, reporter: Reporter
) -> tuple[Path, list[dict[str, Any]]]:
    """Play a saved run with other evaluation values (`eval`) or another environment (`env`).

    setup: as it was trained. -> the folder of the results, and one result per member. Raises
    ValueError as `env_to_play` does.
    """
    env = env_to_play(setup.experiment, folder, asked, ("env", "eval"))
    checkpoints = Checkpoints(folder / run_folder.CHECKPOINTS)
    like = (run_setup.abstract_state(setup), None)
    (state, _), epoch = restore.load(setup, like, checkpoints, reporter)
    setup = setup._replace(env=env, config=asked)
    reporter.busy(f"evaluating epoch {epoch} on {env.spec.name}")
    keys = _keys(setup, epoch)
    results, episodes = final_evaluation.final_evaluation(setup, env, state.agent, keys)
    place = run_folder.new_folder(folder / "evaluations", env.spec.name)
    content = {"config": exp.to_dict(asked), "epoch": epoch, "seeds": results}
    run_folder.write_json(place / run_folder.SUMMARY, content | machine.environment_facts())
    final_evaluation.draw_trajectories(setup, place, episodes, results)
    return place, results


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
    agent, epoch = _newest_agent(folder, run_setup.abstract_state(setup).agent)
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
