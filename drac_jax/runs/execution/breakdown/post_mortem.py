"""What is kept of a run whose learning broke down: the last finite agent, and the minibatches that
broke it.

A run is deterministic, so nothing is kept for this while all is well: the epoch is trained again
from the last checkpoint, halving what is left until one stride remains, then update by update.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.runs.execution.programs import Carry, Programs
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import run_folder
from drac_jax.training.loop import TrainState
from drac_jax.types import Transition

AGENT, BATCH, REPORT = "agent.npz", "batch.npz", "report.txt"
KEY, IS_SLOW = "key", "is_slow_update"  # of batch.npz, beside the transition's fields
LARGEST = 8  # leaves of the agent that the report lists


class Culprit(NamedTuple):
    """The update that broke a member. iteration: of its epoch, from 1; call: of the iteration,
    from 1, 0 for the slow update; agent: before it; broken: what was not finite after it."""

    iteration: int
    call: int
    agent: Any
    batch: Transition
    key: jax.Array
    broken: list[str]


def first_broken(records: list[dict[str, Any]], finite: Any) -> str | None:
    """Say what broke down in an epoch, if anything did. records: of the epoch; finite: which leaves
    of the agents are.

    The metrics are from before an update and the parameters from after it: see both.
    """
    broken = [
        f"{name} of seed {record['seed']} became {value}"
        for record in records
        for name, value in record.items()
        if "/" in name and not name.startswith("train/") and not np.isfinite(value)
    ] + [
        f"agent{jax.tree_util.keystr(path)} became non-finite"
        for path, leaf in jax.tree_util.tree_leaves_with_path(finite)
        if not leaf.all()
    ]
    return broken[0] if broken else None


def examine(
    setup: RunSetup,
    programs: Programs,
    carry: Carry,
    begun: int,
    no_sums: Any,
    epoch: int,
    folder: Path,
) -> str:
    """Train an epoch again until its culprit is found, and keep that in folder/post_mortem.

    carry: after `begun` iterations, in this epoch or before it; no_sums: those of an epoch's
    beginning. -> what to say. Raises ValueError where the epoch does not break down again.
    """
    stride, total = setup.schedule.stride, setup.schedule.iterations_per_epoch
    whole, done = begun // total, begun % total // stride
    for _ in range(whole + 1, epoch):
        carry, done = (advance(setup, programs, carry, done, total // stride)[0], no_sums), 0
    carry, done, member = _last_finite(setup, programs, carry, done)
    state = jax.tree.map(lambda x: x[member], carry[0])
    del carry
    culprit = _dissect(setup, state, done * stride)
    place = folder / run_folder.POST_MORTEM
    _write(place, culprit, _report(setup, culprit, epoch, member))
    return f"{culprit.broken[0]} first, in iteration {culprit.iteration:,}: see {place}"


def _last_finite(
    setup: RunSetup, programs: Programs, carry: Carry, low: int
) -> tuple[Carry, int, int]:
    """carry: after `low` strides of the epoch. -> the carry before the stride that broke, the
    strides of the epoch until then, and the member that breaks in it."""
    total = setup.schedule.iterations_per_epoch // setup.schedule.stride
    high, member = total, -1
    while high - low > 1 or member < 0:
        middle = total if member < 0 else (low + high) // 2
        after = advance(setup, programs, _copy(carry), low, middle)
        finite = np.asarray(_finite(after))
        if finite.all():
            if middle == total:
                raise ValueError("the epoch did not break down again, so there is no post-mortem")
            carry, low = after, middle
        else:
            high, member = middle, int(np.argmin(finite))
        del after
    return carry, low, member


def advance(setup: RunSetup, programs: Programs, carry: Carry, done: int, until: int) -> Carry:
    """Train an epoch from one stride to another. carry: is used up."""
    segment = setup.schedule.segment // setup.schedule.stride
    while done < until:
        piece = min(until - done, segment - done % segment)
        counts = np.int32(piece), np.int32((done + piece) % segment == 0)
        carry, _ = jax.block_until_ready(programs.advance(carry, *counts))
        done += piece
    return carry


@jax.jit
def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


@jax.jit
def _finite(carry: Carry) -> jax.Array:
    """Say which members are finite, in their agents and their losses' sums. -> [members]."""
    state, sums = carry
    leaves = jax.tree.leaves((state.agent, sums.iterations, sums.slow_updates))
    each = [jnp.isfinite(x).reshape(x.shape[0], -1).all(axis=1) for x in leaves]
    return jnp.stack(each).all(axis=0)


def _dissect(setup: RunSetup, state: TrainState, done: int) -> Culprit:
    """Find the update that breaks a member's state within the next stride. done: iterations of the
    epoch until then. Raises ValueError where none of them does when it is alone."""
    parts, schedule = setup.functions.parts, setup.schedule
    collect, update = jax.jit(parts.collect), jax.jit(parts.update)
    for iteration in range(done + 1, done + schedule.stride + 1):
        state, keys = collect(state)
        for call, key in enumerate(keys, start=1):
            agent, metrics, batch, used = update(state, key)
            if broken := _not_finite(agent, metrics):
                return Culprit(iteration, call, state.agent, batch, used, broken)
            state = state._replace(agent=agent)
    if parts.slow_update is not None and (done + schedule.stride) % schedule.segment == 0:
        agent, metrics, batch, used = jax.jit(parts.slow_update)(state)
        if broken := _not_finite(agent, metrics):
            return Culprit(done + schedule.stride, 0, state.agent, batch, used, broken)
    raise ValueError(
        f"no update of iterations {done + 1:,} to {done + schedule.stride:,} breaks down alone: "
        f"their sums do, or this device does not repeat its numbers"
    )


def _not_finite(agent: Any, metrics: dict[str, jax.Array]) -> list[str]:
    """Name the metrics and the leaves of an agent that are not finite, metrics first: they are from
    before the update."""
    values = {name: np.asarray(value) for name, value in metrics.items()}
    found = [f"{name} became {value}" for name, value in values.items() if not np.isfinite(value)]
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(agent))
    return found + [
        f"agent{jax.tree_util.keystr(path)} became non-finite"
        for path, leaf in leaves
        if not np.isfinite(leaf).all()
    ]


def _report(setup: RunSetup, culprit: Culprit, epoch: int, member: int) -> str:
    config, schedule = setup.config.train, setup.schedule
    steps = schedule.env_steps(config, epoch - 1)
    steps += culprit.iteration * config.steps_per_iteration * config.num_envs
    what = f"update call {culprit.call}" if culprit.call else "the slow update"
    label = ", ".join(f"{name} {value:g}" for name, value in setup.members.labels[member].items())
    lines = [
        f"{setup.experiment.name}: {label} (member {member})",
        f"epoch {epoch}, iteration {culprit.iteration:,} of it ({what}), {steps:,} env steps",
        f"first: {culprit.broken[0]}",
        *(f"  then: {one}" for one in culprit.broken[1:]),
        "the minibatches, from least to largest value:",
        *(f"  {name}: {_range(x)}" for name, x in culprit.batch._asdict().items()),
        "the agent before, its largest values:",
        *(f"  agent{name}: {largest:.4g}" for name, largest in _largest(culprit.agent)),
    ]
    return "\n".join(lines) + "\n"


def _range(x: jax.Array) -> str:
    values = np.asarray(x)
    finite = values[np.isfinite(values)]
    text = f"{finite.min():.6g} to {finite.max():.6g}" if finite.size else "none is finite"
    return f"{text}, mean {finite.mean():.6g}, {values.size - finite.size} not finite"


def _largest(agent: Any) -> list[tuple[str, float]]:
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(agent))
    sizes = [(jax.tree_util.keystr(p), float(np.abs(x).max(initial=0.0))) for p, x in leaves]
    return sorted(sizes, key=lambda pair: -pair[1])[:LARGEST]


def _write(place: Path, culprit: Culprit, report: str) -> None:
    """Write the folder, under its name only when it is whole."""
    draft = place.with_name(f"{place.name}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(culprit.agent))
    np.savez(draft / AGENT, **{jax.tree_util.keystr(path): leaf for path, leaf in leaves})
    key = {KEY: jax.random.key_data(culprit.key), IS_SLOW: culprit.call == 0}
    np.savez(draft / BATCH, **jax.device_get(culprit.batch._asdict()), **jax.device_get(key))
    (draft / REPORT).write_text(report)
    shutil.rmtree(place, ignore_errors=True)
    draft.replace(place)


def read(place: Path, like: Any) -> tuple[Any, Transition, jax.Array, bool, str]:
    """Read what `examine` kept. like: shapes of one agent. -> the agent, the minibatches, the key,
    whether the slow update was given them, and the report."""
    with np.load(place / AGENT) as kept:
        agent = jax.tree_util.tree_map_with_path(
            lambda path, x: jnp.asarray(kept[jax.tree_util.keystr(path)], x.dtype), like
        )
    with np.load(place / BATCH) as kept:
        batch = Transition(*(jnp.asarray(kept[name]) for name in Transition._fields))
        key, is_slow = jax.random.wrap_key_data(jnp.asarray(kept[KEY])), bool(kept[IS_SLOW])
    return agent, batch, key, is_slow, (place / REPORT).read_text()
