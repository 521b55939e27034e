"""What a user is told of environments that stopped being finite: the NaN guard ends them, and
training goes on without their transitions."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.training.loop import TrainState
from drac_jax.training.replay import GOES_ON, Replay

FEWEST = 3  # broken episodes: where there were fewer and no others, that can be chance


class BrokenEnvs:
    """Speak of broken environments once, and stop a run that has no others."""

    def __init__(self) -> None:
        self._was_said = False

    def note(
        self, setup: RunSetup, records: Sequence[dict[str, Any]], state: TrainState
    ) -> str | None:
        """Say what broke in an epoch, the first time that anything did. records: of the epoch."""
        count = _sum(records, "train/broken_envs")
        if self._was_said or not count:
            return None
        self._was_said = True
        return (
            f"{setup.env.spec.name}: {count} episode(s) of epoch {records[0]['epoch']} ended in a "
            f"state that is not finite{_where(setup, state)}; they are started again and not "
            f"learnt from (train/broken_envs counts them)"
        )

    def check(
        self, setup: RunSetup, records: Sequence[dict[str, Any]], state: TrainState
    ) -> str | None:
        """Say why to stop where all the episodes that ended in an epoch were broken."""
        count = _sum(records, "train/broken_envs")
        if count < FEWEST or _sum(records, "train/episodes"):
            return None
        return (
            f"{setup.env.spec.name}: all {count} episodes that ended in epoch "
            f"{records[0]['epoch']} broke{_where(setup, state)}: look at its reward and physics "
            f"for what is not finite; all that was trained is saved"
        )


def _sum(records: Sequence[dict[str, Any]], name: str) -> int:
    return int(sum(record[name] for record in records))


def _where(setup: RunSetup, state: TrainState) -> str:
    if jax.process_count() > 1:  # the other processes' environments cannot be read here
        return ""
    step = earliest_step(state.replay, setup.env.spec.max_steps)
    return f", the earliest in step {step} of its episode" if step else ""


def earliest_step(replay: Replay, max_steps: int) -> int | None:
    """Find the earliest step, from 1, of its episode in which an environment broke, among the rows
    in the ring. replay: leaves [members, ...]. -> None where there is none whose beginning is still
    there.

    A row without next_obs marks an episode that was cut as it does a broken one: those of full
    length are left out.
    """
    column = replay.obs_size + replay.action_size + 1
    marks = np.asarray(jax.device_get(replay.data[..., column]))
    counts = np.asarray(jax.device_get(replay.row))
    steps: list[int] = []
    for mark, count in zip(marks, counts, strict=True):
        rows = len(mark)
        in_order = np.roll(mark, -(count % rows), axis=0) if count > rows else mark[:count]
        steps += _steps_to_broken(in_order, starts=count <= rows)
    if replay.next_obs is not None:
        steps = [step for step in steps if step < max_steps]
    return min(steps, default=None)


def _steps_to_broken(marks: np.ndarray, starts: bool) -> list[int]:
    """Count the steps of the episodes that broke. marks: [T, E], the oldest first; starts: whether
    every environment's first episode begins with the first row."""
    found = []
    for column in marks.T:
        ends = np.flatnonzero(column != GOES_ON)
        begins = np.concatenate([[0], ends[:-1] + 1])
        known = np.ones(len(ends), bool)
        known[:1] = starts
        is_broken = known & (column[ends] < 0.0)
        found += (ends - begins[: len(ends)] + 1)[is_broken].tolist()
    return found
