"""A run's setup: an experiment with every value settled and validated, before compiling."""

from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from drac_jax import ranges
from drac_jax.runs.hardware import devices, machine
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup.experiment import Experiment, RunConfig
from drac_jax.runs.storage import console
from drac_jax.training import loop, replay, sweep
from drac_jax.training.loop import TrainState
from drac_jax.training.schedule import Schedule, make_schedule, replay_rows
from drac_jax.training.wrappers.wrapping import wrapped
from drac_jax.types import Algorithm, Environment

MEMORY_SHARE = 0.8  # of what is free; the rest is for networks, compiler and evaluation


class RunSetup(NamedTuple):
    """A validated run: the values, the environment, the functions of one member, the devices.

    former: the values of the run's earlier segments.
    """

    experiment: Experiment
    config: RunConfig
    preset: str
    env: Environment
    algorithm: Algorithm
    members: sweep.Members
    schedule: Schedule
    functions: loop.Train
    mesh: Mesh
    former: tuple[RunConfig, ...] = ()


def prepare(
    experiment: Experiment, config: RunConfig, preset: str, num_devices: int | None = None
) -> tuple[RunSetup, list[str]]:
    """Validate everything that can be validated before compiling.

    num_devices: of each process, None for as many as the run can use. -> the setup, and warnings.
    Raises ValueError, one line that says what to do.
    """
    env, warnings = _checked(experiment, config)
    algorithm = exp.method_of(experiment).make(env.spec, config.algorithm)
    members = exp.members_of(config)
    mesh, notes = devices.choose(num_devices, len(members.seeds), config.train.strata)
    check_host(env, mesh)
    check_memory(config, env, len(members.seeds), mesh)
    functions = loop.make_train(env, algorithm, config.train)
    schedule = make_schedule(config.train, algorithm.slow_period)
    return RunSetup(
        experiment, config, preset, env, functions.algorithm, members, schedule, functions, mesh
    ), warnings + notes


def identity(setup: RunSetup) -> dict[str, Any]:
    """Collect what a checkpoint must agree on to be resumed."""
    config = exp.to_dict(setup.config)
    return {"experiment": setup.experiment.name, "preset": setup.preset, "config": config}


def spec_record(setup: RunSetup) -> dict[str, Any]:
    """Collect what a policy needs to be loaded without its environment."""
    spec = setup.env.spec
    return {
        "name": spec.name,
        "obs_size": spec.obs_size,
        "action_size": spec.action_size,
        "max_steps": spec.max_steps,
        "num_goals": spec.num_goals,
        "actor_obs": spec.actor_obs,
        "critic_obs": spec.critic_obs,
        "method": setup.experiment.method,
    }


def mismatch(saved: dict[str, Any], setup: RunSetup) -> list[str]:
    """Name the values in which a checkpoint's identity differs from this setup's and its earlier
    segments', or the field that there is no more."""
    try:
        config = written_with(saved, setup)
    except ValueError as error:
        return [str(error)]
    if config in setup.former:
        config = setup.config
    return exp.differences(saved | {"config": exp.to_dict(config)}, identity(setup))


def written_with(saved: dict[str, Any], setup: RunSetup) -> RunConfig:
    """Rebuild the values of a checkpoint's identity. Raises ValueError for a field that there is no
    more."""
    return exp.from_dict(setup.config, exp.renamed(saved["config"]))


def replay_bytes(setup: RunSetup) -> int:
    """Count the bytes of all members' replays."""
    return len(setup.members.seeds) * _replay_bytes(setup.config, setup.env)


def state_bytes(state: TrainState) -> int:
    """Count the bytes of all members' states, replay included: the size of a checkpoint."""
    return _tree_bytes(state)


def abstract_state(setup: RunSetup) -> TrainState:
    """Compute the shapes of all members' states, and where they live, without computing them."""
    keys, _ = jax.eval_shape(lambda: sweep.keys(setup.members))
    state = jax.eval_shape(jax.vmap(setup.functions.init), keys, setup.members.hparams)
    places = devices.state_shardings(setup.mesh, state, setup.env, setup.config.train.num_envs)
    return jax.tree.map(lambda x, place: x.update(sharding=place), state, places)


def _checked(experiment: Experiment, config: RunConfig) -> tuple[Environment, list[str]]:
    """Validate a configuration, the cheap checks first. -> its environment and warnings."""
    exp.check_numbers(config)
    env = experiment.make_env(config.env, False)
    # Members beyond counting would fill the memory before anything could say so.
    if (count := exp.count_members(config)) > ranges.MOST_MEMBERS:
        grid = "".join(f" x grid.{name} of {len(v)}" for name, v in config.grid.items())
        raise ValueError(
            f"seeds={config.seeds}{grid} makes {count} members, whose replays take "
            f"{console.gigabytes(count * _replay_bytes(config, env))}; use at most "
            f"{ranges.MOST_MEMBERS} members"
        )
    return env, exp.check(experiment, config, env)


def check_host(env: Environment, mesh: Mesh) -> None:
    """Raise ValueError where several devices would call one simulator on the host."""
    if env.spec.host_callback and mesh.size > 1:
        raise ValueError(
            f"devices={mesh.size} cannot share {env.spec.name}, which is simulated on the host; "
            "use devices=1, or another engine"
        )


def check_memory(config: RunConfig, env: Environment, count: int, mesh: Mesh) -> None:
    """Raise ValueError for a replay that cannot fit, with the largest capacity that does."""
    free = _free_bytes(mesh)
    needed = _replay_bytes(config, env)
    if needed * count > free:
        each = _nbytes(1, config, env)
        largest = int(free // (each * count)) // config.train.num_envs * config.train.num_envs
        raise ValueError(
            f"replay of {console.gigabytes(needed)} x {count} seed(s) does not fit in "
            f"{console.gigabytes(free)}; use train.replay_capacity={largest} or fewer seeds"
        )


def check_state_memory(state: TrainState, mesh: Mesh) -> None:
    """Raise ValueError where the whole states cannot fit: `check_memory` sees the replay alone."""
    needed = devices.bytes_per_device(state) * devices.sharing_memory(mesh)
    if needed > (free := MEMORY_SHARE * machine.free_memory()):
        parts = {"replay": state.replay, "env": state.env, "agent": state.agent}
        sizes = {name: devices.bytes_per_device(part) for name, part in parts.items()}
        fixes = {
            "replay": "train.replay_capacity, or seeds",
            "env": "train.num_envs, or seeds",
            "agent": "algorithm.hidden, or seeds",
        }
        largest = max(sizes, key=lambda name: sizes[name])
        raise ValueError(
            f"states of {console.gigabytes(needed)}, most of it {largest}, do not fit in "
            f"{console.gigabytes(free)} of memory; lower {fixes[largest]}, or use more devices"
        )


def fewest_chunks(experiment: Experiment, config: RunConfig, num_devices: int | None = None) -> int:
    """Count the equal chunks of the members that must train one after the other to fit in memory:
    replays and agents, which are most of a state. One chunk a member where even one does not.
    Raises ValueError for values that cannot be run."""
    env, _ = _checked(experiment, config)
    algorithm = wrapped(exp.method_of(experiment).make(env.spec, config.algorithm), config.train)
    agent = jax.eval_shape(
        lambda key: algorithm.init(key, config.hparams, env.spec.obs_size), jax.random.key(0)
    )
    each, count = _replay_bytes(config, env) + _tree_bytes(agent), exp.count_members(config)
    for chunks in (n for n in range(1, count + 1) if count % n == 0):
        mesh, _ = devices.choose(num_devices, count // chunks, config.train.strata)
        if each * (count // chunks) <= _free_bytes(mesh):
            return chunks
    return count


def _free_bytes(mesh: Mesh) -> float:
    """Count the bytes that arrays can take on all devices of a mesh."""
    return MEMORY_SHARE * machine.free_memory() * mesh.size / devices.sharing_memory(mesh)


def _replay_bytes(config: RunConfig, env: Environment) -> int:
    capacity = replay_rows(config.train) * config.train.num_envs
    return _nbytes(capacity, config, env)


def _nbytes(capacity: int, config: RunConfig, env: Environment) -> int:
    sizes = (env.spec.obs_size, env.spec.action_size)
    return replay.nbytes(capacity, *sizes, config.train.store_next_obs)


def _tree_bytes(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))
