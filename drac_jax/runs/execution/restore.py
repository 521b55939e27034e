"""Restoring a run from the newest checkpoint of its folder that can be read."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drac_jax.runs.execution.programs import Carry
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.experiment import RunConfig
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage.checkpoint import Checkpoints, RunState
from drac_jax.runs.storage.console import Reporter
from drac_jax.training.loop import Sums, TrainState
from drac_jax.training.schedule import replay_rows


class NoCheckpoint(ValueError):
    """A run has no checkpoint that can be read."""


class Restored(NamedTuple):
    """A state that was read, with the ring and the hyperparameters of now. number: of its
    checkpoint; config: the values that this was written with."""

    state: TrainState
    sums: Sums | None
    number: int
    config: RunConfig


def newest(
    setup: RunSetup, like: Carry, checkpoints: Checkpoints, unfinished: Path, reporter: Reporter
) -> tuple[Restored, int]:
    """Restore the newest state of a run, be it within an epoch or at the end of one. -> with the
    iterations until then.

    like: the shapes; checkpoints: of ends of epochs; unfinished: the folder of what was saved
    within an epoch. Raises as `load` does.
    """
    per_epoch = setup.schedule.iterations_per_epoch
    if unfinished.exists():
        within = Checkpoints(unfinished, keep=1)
        whole = max(checkpoints.numbers(), default=0) * per_epoch
        if max(within.numbers(), default=-1) >= whole:
            try:
                saved = load(setup, like, within, reporter)
                return saved, saved.number
            except NoCheckpoint:
                pass  # it was damaged, as was said
    saved = load(setup, (like[0], None), checkpoints, reporter)
    return saved, saved.number * per_epoch


def load(setup: RunSetup, like: RunState, checkpoints: Checkpoints, reporter: Reporter) -> Restored:
    """Restore the newest readable checkpoint; a damaged newer one is dropped.

    Raises NoCheckpoint where none can be read, ValueError where it was written with another
    config.
    """
    for number in checkpoints.numbers():
        try:
            # Before the arrays are read: those of another config need not fit, and are not damaged.
            meta = checkpoints.meta(number)
            if not (found := run_setup.mismatch(meta, setup)):
                config = run_setup.written_with(meta, setup)
                rows = replay_rows(config.train)
                saved = checkpoints.restore(number, (_with_rows(like[0], rows), like[1]))
                if not _is_cut(saved[0], like[0]):
                    state = _of_now(setup, config, saved[0], like[0])
                    return Restored(state, saved[1], number, config)
                reporter.say(
                    f"the last update of epoch {number} drew from a full replay, which the longer "
                    f"run's is not yet: using the checkpoint before it"
                )
        except Exception as error:  # Orbax raises whatever its storage does
            first_line = (str(error) or type(error).__name__).splitlines()[0]
            reporter.say(f"checkpoint {number} is damaged, using the one before it: {first_line}")
            found = []
        if found:
            raise ValueError(f"the checkpoint was written with another config: {'; '.join(found)}")
        checkpoints.drop(number)
    raise NoCheckpoint("there is no checkpoint that can be read; start a new run")


def _with_rows(like: TrainState, rows: int) -> TrainState:
    """Give the shapes of states a ring of so many rows."""
    data = like.replay.data
    shape = (data.shape[0], rows, *data.shape[2:])
    return _with_data(like, jax.ShapeDtypeStruct(shape, data.dtype, sharding=data.sharding))


def _with_data(state: TrainState, data: Any) -> TrainState:
    return state._replace(replay=dataclasses.replace(state.replay, data=data))


def _is_cut(state: TrainState, like: TrainState) -> bool:
    """Say whether a ring of rows without next_obs came to its end, where the longer run's has room:
    there the oldest row is not drawn, so that the last draws differ."""
    rows = state.replay.data.shape[1]
    grows = rows < like.replay.data.shape[1] and state.replay.next_obs is not None
    return grows and bool((state.replay.row >= rows).any())


def _of_now(setup: RunSetup, config: RunConfig, state: TrainState, like: TrainState) -> TrainState:
    """Give states that were written with `config` the ring's rows and the hyperparameters of now.
    The shorter ring was never written twice, so that rows of zeros make it the longer run's."""
    if missing := like.replay.data.shape[1] - state.replay.data.shape[1]:
        pad = jax.jit(
            lambda data: jnp.pad(data, ((0, 0), (0, missing), (0, 0), (0, 0))),
            out_shardings=like.replay.data.sharding,
        )
        state = _with_data(state, pad(state.replay.data))
    if config.hparams != setup.config.hparams:
        places = jax.tree.map(lambda x: x.sharding, like.agent.hparams)
        hparams = jax.jit(lambda: setup.members.hparams, out_shardings=places)()
        state = state._replace(agent=_with_hparams(state.agent, hparams))
    return state


def _with_hparams(agent: Any, hparams: Any) -> Any:
    """Replace the hyperparameters of an agent, or of the one that it wraps as `agent`."""
    if "hparams" in agent._fields:
        return agent._replace(hparams=hparams)
    return agent._replace(agent=_with_hparams(agent.agent, hparams))
