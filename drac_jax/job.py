"""A job: an experiment with every value settled and validated, before anything is compiled."""

from typing import Any, NamedTuple

import jax

from drac_jax import experiment as exp
from drac_jax import replay, report, sweep, train
from drac_jax.experiment import Experiment, RunConfig
from drac_jax.schedule import Schedule, make_schedule, replay_rows
from drac_jax.train import TrainState
from drac_jax.types import Algorithm, Environment

MEMORY_SHARE = 0.8  # of what is free; the rest is for networks, compiler and evaluation


class Job(NamedTuple):
    """A validated run: the values, the environment, and the functions of one member."""

    experiment: Experiment
    config: RunConfig
    preset: str
    env: Environment
    algorithm: Algorithm
    members: sweep.Members
    schedule: Schedule
    functions: train.Train


def prepare(experiment: Experiment, config: RunConfig, preset: str) -> tuple[Job, list[str]]:
    """Validate everything that can be validated before compiling.

    -> the job and warnings. Raises ValueError, one line that says what to do.
    """
    env = experiment.make_env(config.env, False)
    warnings = exp.check(experiment, config, env)
    algorithm = exp.method_of(experiment).make(env.spec, config.algorithm)
    members = exp.members_of(config)
    check_memory(config, env, len(members.seeds))
    functions = train.make_train(env, algorithm, config.train)
    schedule = make_schedule(config.train, algorithm.slow_period)
    job = Job(experiment, config, preset, env, algorithm, members, schedule, functions)
    return job, warnings


def identity(job: Job) -> dict[str, Any]:
    """Collect what a checkpoint must agree on to be resumed."""
    config = exp.to_dict(job.config)
    return {"experiment": job.experiment.name, "preset": job.preset, "config": config}


def mismatch(saved: dict[str, Any], job: Job) -> list[str]:
    """Name the values in which a checkpoint's identity differs from this job's."""
    return exp.differences(saved, identity(job))


def replay_bytes(job: Job) -> int:
    """Count the bytes of all members' replays."""
    return len(job.members.seeds) * _replay_bytes(job.config, job.env)


def state_bytes(job: Job) -> int:
    """Count the bytes of all members' states, replay included: the size of a checkpoint."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(abstract_state(job)))


def abstract_state(job: Job) -> TrainState:
    """Compute the shapes of all members' states without computing them."""
    keys, _ = jax.eval_shape(lambda: sweep.keys(job.members))
    return jax.eval_shape(jax.vmap(job.functions.init), keys, job.members.hparams)


def check_memory(config: RunConfig, env: Environment, count: int) -> None:
    """Raise ValueError for a replay that cannot fit, with the largest capacity that does."""
    free = MEMORY_SHARE * report.free_memory()
    needed = _replay_bytes(config, env)
    if needed * count > free:
        each = _nbytes(1, config, env)
        largest = int(free // (each * count)) // config.train.num_envs * config.train.num_envs
        raise ValueError(
            f"replay of {report.gigabytes(needed)} x {count} seed(s) does not fit in "
            f"{report.gigabytes(free)}; use train.replay_capacity={largest} or fewer seeds"
        )


def _replay_bytes(config: RunConfig, env: Environment) -> int:
    capacity = replay_rows(config.train) * config.train.num_envs
    return _nbytes(capacity, config, env)


def _nbytes(capacity: int, config: RunConfig, env: Environment) -> int:
    sizes = (env.spec.obs_size, env.spec.action_size)
    return replay.nbytes(capacity, *sizes, config.train.store_next_obs)
