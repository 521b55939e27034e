"""The only impure loop: compile, train, time, log, evaluate, save, stop, resume."""

import shutil
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

from drac_jax.runs.execution import compile_times, final_evaluation, pace, restore, showing
from drac_jax.runs.execution.breakdown import post_mortem
from drac_jax.runs.execution.breakdown.broken_envs import BrokenEnvs
from drac_jax.runs.execution.programs import Carry, Programs, compile_all, sums_shapes
from drac_jax.runs.execution.progress import Progress
from drac_jax.runs.execution.stopping import Interrupted, Stop
from drac_jax.runs.hardware import devices, hosts, machine
from drac_jax.runs.setup import run_setup, segments
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import run_folder
from drac_jax.runs.storage.best_agents import BestAgents
from drac_jax.runs.storage.checkpoint import STATES_ON_DISK, Checkpoints
from drac_jax.runs.storage.console import Reporter
from drac_jax.training import sweep
from drac_jax.training.loop import TrainState

LEAST_RESERVE = 5.0  # seconds kept for saving
DISK_SPEED = 1e8  # bytes a second, until a checkpoint was timed


class Run:
    """One run in progress: its folder, its state, and the clock.

    deadline: of `time.monotonic`, by which all must be saved; None for none.
    """

    def __init__(
        self,
        setup: RunSetup,
        folder: Path,
        reporter: Reporter,
        deadline: float | None = None,
        asked: showing.Asked = showing.NOTHING,
    ):
        self.setup, self.folder, self.reporter = setup, folder, reporter
        self.shapes = run_setup.abstract_state(setup)
        size = run_setup.state_bytes(self.shapes)
        run_folder.check_writable(folder, STATES_ON_DISK * size)
        run_setup.check_state_memory(self.shapes, setup.mesh)
        self.checkpoints = Checkpoints(folder / run_folder.CHECKPOINTS)
        self.unfinished = folder / run_folder.UNFINISHED
        self.best = BestAgents(folder, self.shapes.agent)
        self.showing = showing.Showing(setup, folder, asked, reporter)
        self.broken_envs = BrokenEnvs()
        self.sums_shapes = sums_shapes(setup, self.shapes)
        # On the host: on the devices, each epoch's would be a program of its own.
        self.no_sums = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), self.sums_shapes)
        start = (*sweep.keys(setup.members), setup.members.hparams)
        self.train_keys, self.eval_keys, self.hparams = devices.copies(setup.mesh, start)
        self.writes = hosts.is_first()
        self.stop, self.pace = Stop(reporter, deadline), pace.Pace()
        self.save_seconds = size / DISK_SPEED  # evaluation included
        self.progress = Progress(setup)

    def start(self) -> dict[str, Any]:
        """Train from the beginning. -> the summary."""
        facts = {"spec": run_setup.spec_record(self.setup), **machine.environment_facts()}
        if self.writes:
            run_folder.write_json(
                self.folder / run_folder.CONFIG, run_setup.identity(self.setup) | facts
            )
            # Records of a start that came to nothing.
            (self.folder / run_folder.METRICS).unlink(missing_ok=True)
        self.best.restore(0)
        programs = self._compile()
        return self._train(programs, self._beginning(programs))

    def _beginning(self, programs: Programs) -> Carry:
        self.reporter.busy("filling the replay until learning starts")
        return programs.init(self.train_keys, self.hparams), self.no_sums

    def resume(self) -> dict[str, Any]:
        """Go on from the newest checkpoint that can be read, or from the beginning where there is
        none: the run was killed before its first. -> the summary."""
        record = run_folder.read_json(self.folder / run_folder.CONFIG)
        self.setup = segments.knowing(self.setup, record)
        try:
            saved, begun = self._newest()
        except restore.NoCheckpoint:
            self.reporter.say(f"{self.folder} has no checkpoint yet: starting from the beginning")
            return self.start()
        self.progress.begun = begun
        self._note_segment(segments.continued(record, self.setup, saved.config, begun), record)
        epoch, rest = divmod(begun, self.setup.schedule.iterations_per_epoch)
        if self.writes:
            run_folder.drop_records_after(self.folder / run_folder.METRICS, epoch)
        self.best.restore(epoch)
        total = self.setup.schedule.epochs
        inside = f" and {rest:,} iterations" if rest else ""
        self.reporter.say(f"resuming {self.folder} after epoch {epoch} of {total}{inside}")
        if self.setup.env.spec.forgotten:
            self.reporter.say("its episodes begin anew: no checkpoint holds a simulator's state")
        return self._train(self._compile(), (saved.state, saved.sums or self.no_sums))

    def _newest(self) -> tuple[restore.Restored, int]:
        like, places = (self.shapes, self.sums_shapes), (self.checkpoints, self.unfinished)
        return restore.newest(self.setup, like, *places, self.reporter)

    def _note_segment(self, record: dict[str, Any], before: dict[str, Any]) -> None:
        """Write down what changes from here on, and keep what was found at the former end. Raises
        ValueError where nothing is left to train with other values."""
        if record == before:
            return
        schedule = self.setup.schedule
        change = segments.describe(record[segments.KEY])
        if self.progress.begun >= schedule.epochs * schedule.iterations_per_epoch:
            raise ValueError(
                f"{change}: the run has come to its end; give more --train.env-steps as well"
            )
        if self.writes:
            run_folder.write_json(self.folder / run_folder.CONFIG, record)
            run_folder.set_aside_summary(self.folder, record[segments.KEY][-1]["after_epoch"])
        self.reporter.say(f"from here on: {change}")

    def _compile(self) -> Programs:
        last = compile_times.last(self.setup)
        expected = "" if last is None else f", {last:.0f} s last time"
        self.reporter.busy(f"compiling (once per run{expected})")
        began = time.perf_counter()
        given = (self.train_keys, self.eval_keys, self.hparams)
        programs = compile_all(self.setup, (self.shapes, self.sums_shapes), *given)
        self.progress.compile_seconds = time.perf_counter() - began
        self.reporter.say(f"compiled in {self.progress.compile_seconds:.1f} s")
        if self.writes:
            compile_times.keep(self.setup, self.progress.compile_seconds)
        return programs

    def _train(self, programs: Programs, carry: Carry) -> dict[str, Any]:
        schedule = self.setup.schedule
        first, rest = divmod(self.progress.begun, schedule.iterations_per_epoch)
        self.showing.begin()
        with self.stop.listening(), hosts.together(), closing(self.showing):
            for epoch in range(first + 1, schedule.epochs + 1):
                carry = self._train_epoch(programs, carry, epoch, rest // schedule.stride)
                if broken := self._end_epoch(programs, carry, epoch):
                    del carry  # to look into it takes memory
                    self._break_down(programs, epoch, broken)
                carry, rest = (carry[0], self.no_sums), 0
            if hosts.any_asks(self._time_is_up(0)):
                raise Interrupted(f"stopped after epoch {schedule.epochs}, the last, all saved")
        return self._finish(programs, carry[0])

    def _train_epoch(self, programs: Programs, carry: Carry, epoch: int, done: int) -> Carry:
        """Train the strides of an epoch that are not done, piece by piece. Raises Interrupted."""
        schedule = self.setup.schedule
        total = schedule.iterations_per_epoch // schedule.stride
        segment = schedule.segment // schedule.stride
        while done < total:
            if hosts.any_asks(self._stops_with(total - done)):
                self._save_unfinished(carry, epoch, done * schedule.stride)
            piece = self.pace.piece(segment - done % segment)
            count = int(hosts.from_first(partial(str, piece)))
            slow_updates = (done + count) % segment == 0
            began = time.perf_counter()
            counts = np.int32(count), np.int32(slow_updates)
            carry, _ = jax.block_until_ready(programs.advance(carry, *counts))
            seconds = time.perf_counter() - began
            self.pace.took(count, seconds)
            self.progress.train_seconds += seconds
            done += count
        return carry

    def _stops_with(self, left: int) -> bool:
        """Say whether to stop with so many strides of an epoch left: not for the last few seconds
        of it, if there is time."""
        long = self.pace.seconds(left) > pace.SECONDS
        return self.stop.asked and long or self._time_is_up(left)

    def _time_is_up(self, left: int) -> bool:
        """Say whether the time that was given would end within the next piece, and saving."""
        piece = min(pace.SECONDS, self.pace.seconds(left)) if left else 0.0
        return self.stop.due_within(piece + max(LEAST_RESERVE, 2.0 * self.save_seconds))

    def _save_unfinished(self, carry: Carry, epoch: int, iterations: int) -> None:
        """Save a run within an epoch, and stop it."""
        schedule = self.setup.schedule
        number = (epoch - 1) * schedule.iterations_per_epoch + iterations
        place = Checkpoints(self.unfinished, keep=1)
        self.best.save(run_setup.identity(self.setup))
        if number not in place.numbers():
            place.save(number, carry, run_setup.identity(self.setup))
        raise Interrupted(
            f"stopped after {iterations:,} of {schedule.iterations_per_epoch:,} iterations of "
            f"epoch {epoch} of {schedule.epochs}, all saved"
        )

    def _end_epoch(self, programs: Programs, carry: Carry, epoch: int) -> str | None:
        """Evaluate, record and save an epoch. -> how learning broke down in it, if it did. Raises
        Interrupted where it is time to stop, ValueError where all environments are broken."""
        setup, (state, sums), began = self.setup, carry, time.perf_counter()
        keys = self._keys(epoch)
        evaluated = programs.evaluate(state.agent, keys)
        scalars, (episodes, finite) = jax.device_get((programs.means(sums), evaluated))
        results = final_evaluation.summarise(setup, episodes)
        records = self.progress.records(epoch, scalars, results)
        if broken := post_mortem.first_broken(records, finite):
            return broken
        if self.writes:
            run_folder.append_records(self.folder / run_folder.METRICS, records)
        self.reporter.log(records)
        self.best.consider(epoch, state.agent, records)
        if said := self.broken_envs.note(setup, records, state):
            self.reporter.say(f"note: {said}")
        hopeless = self.broken_envs.check(setup, records, state)
        asked = self.stop.asked or self._time_is_up(setup.schedule.iterations_per_epoch)
        stop, is_last = hosts.any_asks(asked), epoch == setup.schedule.epochs
        if stop or epoch % setup.config.checkpoint_every == 0 or is_last or hopeless:
            self._save(epoch, state)
            self.save_seconds = time.perf_counter() - began
        if hopeless:
            raise ValueError(hopeless)
        self.showing.epoch(epoch, records, state.agent, keys)
        self.reporter.busy(self.progress.line(epoch, records))
        if stop and not is_last:
            raise Interrupted(f"stopped after epoch {epoch} of {setup.schedule.epochs}, all saved")
        return None

    def _save(self, epoch: int, state: TrainState) -> None:
        """Save the end of an epoch; the best agents first, see there."""
        identity = run_setup.identity(self.setup)
        self.best.save(identity)
        self.checkpoints.save(epoch, (state, None), identity)
        if self.writes:
            shutil.rmtree(self.unfinished, ignore_errors=True)

    def _keys(self, epoch: int) -> jax.Array:
        """Derive an epoch's evaluation keys, the same whether resumed or not."""
        return jax.vmap(jax.random.fold_in, (0, None))(self.eval_keys, epoch)

    def _break_down(self, programs: Programs, epoch: int, broken: str) -> NoReturn:
        """Stop where learning has broken down; the last checkpoint is from before. Keeps what did
        it, which is found by training the epoch again."""
        kept = f"the last good checkpoint is kept in {self.folder}"
        saved = kept if self.checkpoints.numbers() else "nothing was saved"
        fix = "lower the learning rates and start again"
        said = f"{broken} in epoch {epoch}; {saved}: {fix}"
        if jax.process_count() > 1 or self.stop.asked or self._time_is_up(0):
            raise ValueError(said)  # one process cannot look into a member of all; or no time
        self.reporter.busy(f"training epoch {epoch} again, to find the update that broke it")
        try:
            try:
                newest, begun = self._newest()
                carry = newest.state, newest.sums or self.no_sums
            except restore.NoCheckpoint:
                carry, begun = self._beginning(programs), 0
            again = carry, begun, self.no_sums
            found = post_mortem.examine(self.setup, programs, *again, epoch, self.folder)
        except (ValueError, jax.errors.JaxRuntimeError, OSError) as error:
            found = f"no post-mortem: {str(error).splitlines()[0]}"
        raise ValueError(f"{said} ({found})")

    def _finish(self, programs: Programs, state: TrainState) -> dict[str, Any]:
        """Play the final evaluation and write summary and pictures."""
        self.reporter.busy("final evaluation")
        keys = self._keys(self.setup.schedule.epochs + 1)
        results, episodes = final_evaluation.final_evaluation(
            self.setup, self.setup.env, state.agent, keys
        )
        summary = {
            "experiment": self.setup.experiment.name,
            "seeds": results,
            "best": self.best.summary(self.setup.members.labels),
            "timings": self.progress.timings(),
            **machine.environment_facts(),
        }
        if self.writes:
            final_evaluation.save_episodes(self.setup, self.folder, episodes)
            run_folder.write_json(self.folder / run_folder.SUMMARY, summary)
            final_evaluation.draw(self.setup, self.folder, episodes, results)
        final_evaluation.draw_study(self.setup, self.folder, episodes, state.agent)
        return summary
