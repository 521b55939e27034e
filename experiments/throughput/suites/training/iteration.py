"""A whole training iteration beside its update: what acting, stepping, storing and sampling add.

The `paper` loop: one environment, one update per env step, all of it one compiled scan.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.experiment import Experiment, RunConfig
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.training import sweep
from experiments import find
from experiments.throughput import timing
from experiments.throughput.suites.drac_update import random_batch

TASKS = ("multigoal_amortized", "pointmaze_simple_amortized")
PRESETS = ("paper", "default")


@dataclass(frozen=True)
class Options(timing.Options):
    """A whole training iteration beside its update: what acting, stepping and replay add.

    Example: python -m experiments bench train
    """

    iterations: int = 50  # per timed call


def short_setup(
    name: str, preset: str, iterations: int, filled: int = 0, **changes: Any
) -> RunSetup:
    """Prepare an experiment's setup with epochs of `iterations` iterations. filled: transitions in
    the replay before, at least: a small ring fits in a cache."""
    return shortened(find(name), preset, iterations, filled, **changes)


def shortened(
    experiment: Experiment, preset: str, iterations: int, filled: int = 0, **changes: Any
) -> RunSetup:
    """Do the same for an experiment that has no name in the list."""
    config: RunConfig = replace(experiment.config(preset), **changes)
    each = config.train.num_envs * config.train.steps_per_iteration
    first = max(config.train.learning_starts, config.train.batch_size, filled)
    steps, capacity = first + iterations * each, max(100_000, filled)
    train = replace(
        config.train, env_steps=steps, learning_starts=first, epochs=1, replay_capacity=capacity
    )
    return run_setup.prepare(experiment, replace(config, train=train), preset)[0]


def epoch(name: str, setup: RunSetup) -> timing.Contender:
    """Make one epoch of all members of a setup, of which a unit is one iteration of one member."""
    keys, _ = sweep.keys(setup.members)
    holder = [jax.jit(jax.vmap(setup.functions.init))(keys, setup.members.hparams)]
    compiled = jax.jit(sweep.over_members(setup.functions.epoch), donate_argnums=0)

    def call() -> Any:
        holder[0], metrics = compiled(holder[0])
        return holder[0], metrics

    return timing.Contender(name, call, setup.schedule.iterations_per_epoch * len(keys))


def updates(name: str, setup: RunSetup) -> timing.Contender:
    """Make the updates of an epoch alone, each on the same random minibatch."""
    hparams = jax.tree.map(lambda x: x[0], setup.members.hparams)
    spec, train = setup.env.spec, setup.config.train
    agent = jax.jit(setup.algorithm.init, static_argnums=2)(
        jax.random.key(0), hparams, spec.obs_size
    )
    shape = setup.algorithm.num_minibatches, train.batch_size
    batch = random_batch(jax.random.key(1), shape, spec.obs_size, spec.action_size)
    count = setup.schedule.iterations_per_epoch
    each = jax.random.split(jax.random.key(1), count)

    def scan(agent: Any) -> Any:
        agent, metrics = jax.lax.scan(lambda a, k: setup.algorithm.update(a, batch, k), agent, each)
        return agent, jax.tree.map(jnp.mean, metrics)

    compiled, holder = jax.jit(scan, donate_argnums=0), [agent]

    def call() -> Any:
        holder[0], metrics = compiled(holder[0])
        return holder[0], metrics

    return timing.Contender(name, call, count)


def measure(options: Options) -> None:
    """Run the suite."""
    timing.pin(options.one_core)
    made, pairs = [], []
    for name in TASKS:
        for preset in PRESETS:
            setup = short_setup(name, preset, options.iterations)
            pairs.append((f"{name}, {preset}", setup))
            made += [
                updates(f"{pairs[-1][0]}: update", setup),
                epoch(f"{pairs[-1][0]}: all", setup),
            ]
    timings = timing.side_by_side(made, options.repeats)
    ratios = {
        name: both.median / alone.median
        for (name, _), alone, both in zip(pairs, timings[::2], timings[1::2], strict=True)
    }
    lines = [
        f"One iteration (act, step, store, sample, update), float32, batch 256, 256x2, "
        f"{timing.cores()} core(s).",
        "",
        timing.table(timings),
        "",
        *(
            f"{name}: an iteration costs {ratio:.3f} of its update."
            for name, ratio in ratios.items()
        ),
    ]
    timing.report_suite(options.out, "train", timings, "\n".join(lines), {"ratios": ratios})
