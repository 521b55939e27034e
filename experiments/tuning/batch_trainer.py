"""One compiled program that trains a batch of points, seeds x points as its members."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.runs.execution import compile_times, final_evaluation, pace
from drac_jax.runs.execution.programs import Carry, Programs, compile_all, sums_shapes
from drac_jax.runs.execution.stopping import Interrupted, Stop
from drac_jax.runs.hardware import devices
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage.console import Reporter
from drac_jax.training import sweep
from drac_jax.training.sweep import Members

Point = Mapping[str, float]
RESERVE = 5.0  # seconds kept for writing down that a batch was stopped


class Evaluated(NamedTuple):
    """An epoch's evaluations of a batch. results: of each point, of each seed (`eval/<name>` ->
    value); broken: of each point, what became not finite, or nothing."""

    epoch: int
    results: list[list[dict[str, Any]]]
    broken: list[str]


class BatchTrainer:
    """The program of a tuning run, compiled when it is first used and kept for all batches.

    setup: of `search_space.stand_in`, whose members are seeds x points. Raises ValueError where the
    states do not fit in memory.
    """

    def __init__(self, setup: RunSetup, reporter: Reporter, stop: Stop):
        self.setup, self.reporter, self.stop = setup, reporter, stop
        self.seeds = list(dict.fromkeys(setup.members.seeds))
        self.points = len(setup.members.seeds) // len(self.seeds)
        self.shapes = run_setup.abstract_state(setup)
        run_setup.check_state_memory(self.shapes, setup.mesh)
        sums = sums_shapes(setup, self.shapes)
        self.shape_of_carry = (self.shapes, sums)
        self.no_sums = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), sums)
        self.pace = pace.Pace()
        self.compile_seconds = self.train_seconds = 0.0
        self._place = devices.everywhere(setup.mesh)
        self._programs: Programs | None = None

    def epochs(self, points: Sequence[Point]) -> Iterator[Evaluated]:
        """Train points from the beginning and evaluate them after every epoch.

        points: as many as the program has, or fewer: the last one then stands in for those that
        are missing. Raises Interrupted where it is time to stop.
        """
        setup = self.setup._replace(members=self._members(points))
        start = (*sweep.keys(setup.members), setup.members.hparams)
        train_keys, eval_keys, hparams = jax.device_put(start, self._place)
        if self._programs is None:
            self._programs = self._compile(train_keys, eval_keys, hparams)
        programs = self._programs
        carry: Carry = (programs.init(train_keys, hparams), self.no_sums)
        for epoch in range(1, setup.schedule.epochs + 1):
            carry = self._train_epoch(programs, carry, epoch)
            keys = jax.vmap(jax.random.fold_in, (0, None))(eval_keys, epoch)
            evaluated = programs.evaluate(carry[0].agent, jax.device_put(keys, self._place))
            episodes, finite = jax.device_get(evaluated)
            results = final_evaluation.summarise(setup, episodes)
            broken = [_broken(result, finite, i) for i, result in enumerate(results)]
            grouped, said = self._by_point(results), self._by_point(broken)
            count = len(points)
            whys = [next(filter(None, group), "") for group in said[:count]]
            yield Evaluated(epoch, grouped[:count], whys)
            carry = (carry[0], self.no_sums)

    def _members(self, points: Sequence[Point]) -> Members:
        """Cross points with the seeds; the seed varies fastest, as in a sweep."""
        base = self.setup.config.hparams
        every = [*points, *[points[-1]] * (self.points - len(points))]
        labels = [{"seed": seed, **point} for point in every for seed in self.seeds]
        columns = {
            field.name: jnp.asarray(
                [label.get(field.name, getattr(base, field.name)) for label in labels], jnp.float32
            )
            for field in fields(base)
        }
        return Members([int(label["seed"]) for label in labels], type(base)(**columns), labels)

    def _by_point(self, of_members: list[Any]) -> list[list[Any]]:
        size = len(self.seeds)
        return [of_members[i : i + size] for i in range(0, len(of_members), size)]

    def _compile(self, *given: Any) -> Programs:
        last = compile_times.last(self.setup)
        expected = "" if last is None else f", {last:.0f} s last time"
        self.reporter.busy(f"compiling (once for all batches{expected})")
        began = time.perf_counter()
        programs = compile_all(self.setup, self.shape_of_carry, *given)
        self.compile_seconds = time.perf_counter() - began
        compile_times.keep(self.setup, self.compile_seconds)
        self.reporter.say(f"compiled in {self.compile_seconds:.1f} s")
        return programs

    def _train_epoch(self, programs: Programs, carry: Carry, epoch: int) -> Carry:
        """Train an epoch, piece by piece. Raises Interrupted between two of them."""
        schedule, done = self.setup.schedule, 0
        total = schedule.iterations_per_epoch // schedule.stride
        segment = schedule.segment // schedule.stride
        while done < total:
            piece = min(pace.SECONDS, self.pace.seconds(total - done))
            if self.stop.asked or self.stop.due_within(piece + RESERVE):
                raise Interrupted(f"stopped in epoch {epoch} of {schedule.epochs} of a batch")
            count = self.pace.piece(segment - done % segment)
            slow_updates = (done + count) % segment == 0
            began = time.perf_counter()
            counts = np.int32(count), np.int32(slow_updates)
            carry, _ = jax.block_until_ready(programs.advance(carry, *counts))
            seconds = time.perf_counter() - began
            self.pace.took(count, seconds)
            self.train_seconds += seconds
            done += count
        return carry


def _broken(result: Mapping[str, Any], finite: Any, member: int) -> str:
    """Name what of a member is not finite, or nothing."""
    for name, value in result.items():
        if "/" in name and not np.isfinite(value):
            return f"{name} became {value}"
    for path, leaf in jax.tree_util.tree_leaves_with_path(finite):
        if not leaf[member].all():
            return f"agent{jax.tree_util.keystr(path)} became non-finite"
    return ""
