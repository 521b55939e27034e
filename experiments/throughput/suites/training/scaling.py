"""One run on 1, 2, 4 and 8 devices: the same curve, few exchanges, and the time of an update.

Environments, replay and minibatches are shared out. Where there is no accelerator the devices are
virtual and share the cores, so that the best there can be is the time of one; what is above it
is the price of sharing out. What its sums, taken in another order, do to a curve is compared with
what a start one rounding off does.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.runs.execution.programs import lower_init, lower_members
from drac_jax.runs.hardware import devices
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.training import sweep
from experiments import find
from experiments.throughput import timing

EXPERIMENT, MOST = "multigoal_amortized", 8
EXCHANGES = ("all-reduce", "all-gather", "reduce-scatter", "collective-permute", "all-to-all")


@dataclass(frozen=True)
class Options(timing.Options):
    """One run on 1, 2, 4 and 8 devices: the same curve, few exchanges, and the time of an update.

    Example: python -m experiments bench scaling
    """

    batch: int = 8192  # transitions of an update
    envs: int = 1024  # environments
    hidden: int = 256  # size of each of two hidden layers
    updates: int = 100  # in all
    repeats: int = 10  # epochs, which divide the updates


class Progress(NamedTuple):
    """A run that goes on an epoch at a time. curve: name -> [epochs, members]; exchanges: of an
    update, by kind; seconds: of an iteration, one figure per epoch."""

    setup: RunSetup
    epoch: Any
    state: Any
    exchanges: Counter[str]
    curve: dict[str, list[np.ndarray]]
    seconds: list[float]


def setup_on(count: int, seeds: int = 1, hidden: int = 256, **train: Any) -> RunSetup:
    """Make the setup of a run on `count` devices. train: values of its TrainConfig."""
    experiment = find(EXPERIMENT)
    config = experiment.config()
    config = replace(
        config,
        seeds=seeds,
        algorithm=replace(config.algorithm, hidden=(hidden, hidden)),
        train=replace(config.train, **train),
    )
    return run_setup.prepare(experiment, config, "default", count)[0]


def begin(setup: RunSetup) -> Progress:
    """Compile a setup's programs and start its members."""
    start = devices.copies(setup.mesh, (sweep.keys(setup.members)[0], setup.members.hparams))
    shapes = run_setup.abstract_state(setup)
    lowered = lower_init(setup, shapes, start), lower_members(setup, setup.functions.epoch, shapes)
    init, epoch = (program.compile() for program in lowered)
    state = jax.block_until_ready(init(*start))
    return Progress(setup, epoch, state, exchanges(str(epoch.as_text()), "update"), {}, [])


def go_on(progress: Progress) -> Progress:
    """Train one epoch more."""
    began = time.perf_counter()
    state, scalars = jax.block_until_ready(progress.epoch(progress.state))
    seconds = (time.perf_counter() - began) / progress.setup.schedule.iterations_per_epoch
    curve = {name: progress.curve.get(name, []) + [np.asarray(x)] for name, x in scalars.items()}
    return progress._replace(state=state, curve=curve, seconds=[*progress.seconds, seconds])


def one_rounding_off(progress: Progress) -> Progress:
    """Move everything that is learnt by one part in 2^23, the spacing of float32."""
    state = progress.state
    agent = jax.tree.map(
        lambda x: x * (1 + 2.0**-23) if jnp.issubdtype(x.dtype, jnp.floating) else x,
        state.agent,
    )
    hparams = state.agent.hparams
    return progress._replace(state=state._replace(agent=agent._replace(hparams=hparams)))


def exchanges(text: str, scope: str) -> Counter[str]:
    """Count the exchanges between devices in a compiled program, within a named scope."""
    found = re.findall(rf" ({'|'.join(EXCHANGES)})(?:-start)?\(.*op_name=\"([^\"]*)\"", text)
    return Counter(kind for kind, name in found if scope in re.split("[/(:]", name))


def largest_difference(one: Progress, other: Progress) -> float:
    """Find the largest difference of two curves, relative to values above 1."""
    pairs = [(np.stack(values), np.stack(other.curve[name])) for name, values in one.curve.items()]
    scaled = [np.abs(a - b) / np.maximum(1.0, np.abs(a)) for a, b in pairs]
    return float(max(np.nanmax(x) for x in scaled))


def measure(options: Options) -> None:
    """Run the suite."""
    jax.config.update("jax_num_cpu_devices", MOST)
    counts = [n for n in (1, 2, 4, 8) if n <= jax.device_count()]
    prefill = -(-options.batch // options.envs)
    train = {
        "env_steps": options.envs * (prefill + options.updates),
        "num_envs": options.envs,
        "strata": MOST,
        "batch_size": options.batch,
        "learning_starts": 1,
        "epochs": options.repeats,
    }
    runs = [begin(setup_on(n, hidden=options.hidden, **train)) for n in counts]
    moved = one_rounding_off(begin(setup_on(1, hidden=options.hidden, **train)))
    for _ in range(options.repeats):
        *runs, moved = (go_on(run) for run in (*runs, moved))
    timings = [timing.Timing(devices.describe(r.setup.mesh), 0.0, r.seconds) for r in runs]
    apart = max(largest_difference(runs[0], run) for run in runs)
    by_rounding = largest_difference(runs[0], moved)
    counted = dict(runs[-1].exchanges)
    text = (
        f"An iteration of {EXPERIMENT}: a step of {options.envs} environments and an update of "
        f"batch {options.batch}, networks {options.hidden}x2, float32.\n\n"
        f"{timing.table(timings)}\n\n"
        f"Curves over {options.updates} updates differ by at most {apart:.1e}, relative to values "
        f"above 1; that of one device whose start is one rounding off, by {by_rounding:.1e}.\n"
        f"Exchanges of an update on {counts[-1]} devices: {counted}."
    )
    content: dict[str, Any] = {t.name: t.seconds for t in timings}
    content |= {"largest_difference": apart, "one_rounding_off": by_rounding}
    content |= {"exchanges": counted, "settings": train}
    print(text)
    print(f"written to {timing.save(options.out, 'scaling', content, text)}")
