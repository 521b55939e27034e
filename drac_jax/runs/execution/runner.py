"""The only impure loop: compile, train, time, log, evaluate, save, stop, resume."""

import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from drac_jax.runs.execution import compile_times, final_evaluation, pace, restore
from drac_jax.runs.execution.programs import Carry, Programs, compile_all, sums_shapes
from drac_jax.runs.execution.stopping import Interrupted, Stop
from drac_jax.runs.hardware import devices, hosts, machine
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import console, run_folder
from drac_jax.runs.storage.checkpoint import STATES_ON_DISK, Checkpoints
from drac_jax.runs.storage.console import Reporter
from drac_jax.training import sweep
from drac_jax.training.loop import TrainState

Record = dict[str, Any]
LEAST_RESERVE = 5.0  # seconds kept for saving
DISK_SPEED = 1e8  # bytes a second, until a checkpoint was timed


class Run:
    """One run in progress: its folder, its state, and the clock.

    deadline: of `time.monotonic`, by which all must be saved; None for none.
    """

    def __init__(
        self, setup: RunSetup, folder: Path, reporter: Reporter, deadline: float | None = None
    ):
        self.setup, self.folder, self.reporter = setup, folder, reporter
        self.shapes = run_setup.abstract_state(setup)
        size = run_setup.state_bytes(self.shapes)
        run_folder.check_writable(folder, STATES_ON_DISK * size)
        run_setup.check_state_memory(self.shapes, setup.mesh)
        self.checkpoints = Checkpoints(folder / run_folder.CHECKPOINTS)
        self.unfinished = folder / run_folder.UNFINISHED
        self.sums_shapes = sums_shapes(setup, self.shapes)
        # On the host: on the devices, each epoch's would be a program of its own.
        self.no_sums = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), self.sums_shapes)
        start = (*sweep.keys(setup.members), setup.members.hparams)
        self.train_keys, self.eval_keys, self.hparams = devices.copies(setup.mesh, start)
        self.writes = hosts.is_first()
        self.stop, self.pace = Stop(reporter, deadline), pace.Pace()
        self.save_seconds = size / DISK_SPEED  # evaluation included
        self.train_seconds, self.compile_seconds = 0.0, 0.0
        self.begun = 0  # iterations that were trained before this process

    def start(self) -> dict[str, Any]:
        """Train from the beginning. -> the summary."""
        facts = {"spec": run_setup.spec_record(self.setup), **machine.environment_facts()}
        if self.writes:
            run_folder.write_json(
                self.folder / run_folder.CONFIG, run_setup.identity(self.setup) | facts
            )
            # Records of a start that came to nothing.
            (self.folder / run_folder.METRICS).unlink(missing_ok=True)
        programs = self._compile()
        self.reporter.busy("filling the replay until learning starts")
        state = programs.init(self.train_keys, self.hparams)
        return self._train(programs, (state, self.no_sums))

    def resume(self) -> dict[str, Any]:
        """Go on from the newest checkpoint that can be read, or from the beginning where there is
        none: the run was killed before its first. -> the summary."""
        try:
            like, places = (self.shapes, self.sums_shapes), (self.checkpoints, self.unfinished)
            (state, sums), self.begun = restore.newest(self.setup, like, *places, self.reporter)
        except restore.NoCheckpoint:
            self.reporter.say(f"{self.folder} has no checkpoint yet: starting from the beginning")
            return self.start()
        epoch, rest = divmod(self.begun, self.setup.schedule.iterations_per_epoch)
        if self.writes:
            run_folder.drop_records_after(self.folder / run_folder.METRICS, epoch)
        total = self.setup.schedule.epochs
        inside = f" and {rest:,} iterations" if rest else ""
        self.reporter.say(f"resuming {self.folder} after epoch {epoch} of {total}{inside}")
        if self.setup.env.spec.forgotten:
            self.reporter.say("its episodes begin anew: no checkpoint holds a simulator's state")
        return self._train(self._compile(), (state, sums or self.no_sums))

    def _compile(self) -> Programs:
        last = compile_times.last(self.setup)
        expected = "" if last is None else f", {last:.0f} s last time"
        self.reporter.busy(f"compiling (once per run{expected})")
        began = time.perf_counter()
        given = (self.train_keys, self.eval_keys, self.hparams)
        programs = compile_all(self.setup, (self.shapes, self.sums_shapes), *given)
        self.compile_seconds = time.perf_counter() - began
        self.reporter.say(f"compiled in {self.compile_seconds:.1f} s")
        if self.writes:
            compile_times.keep(self.setup, self.compile_seconds)
        return programs

    def _train(self, programs: Programs, carry: Carry) -> dict[str, Any]:
        schedule = self.setup.schedule
        first, rest = divmod(self.begun, schedule.iterations_per_epoch)
        with self.stop.listening(), hosts.together():
            for epoch in range(first + 1, schedule.epochs + 1):
                carry = self._train_epoch(programs, carry, epoch, rest // schedule.stride)
                self._end_epoch(programs, carry, epoch)
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
            self.train_seconds += seconds
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
        if number not in place.numbers():
            place.save(number, carry, run_setup.identity(self.setup))
        raise Interrupted(
            f"stopped after {iterations:,} of {schedule.iterations_per_epoch:,} iterations of "
            f"epoch {epoch} of {schedule.epochs}, all saved"
        )

    def _end_epoch(self, programs: Programs, carry: Carry, epoch: int) -> None:
        """Evaluate, record and save an epoch. Raises Interrupted where it is time to stop."""
        setup, (state, sums), began = self.setup, carry, time.perf_counter()
        evaluated = programs.evaluate(state.agent, self._keys(epoch))
        scalars, (episodes, finite) = jax.device_get((programs.means(sums), evaluated))
        records = self._records(epoch, scalars, final_evaluation.summarise(setup, episodes))
        self._check_finite(records, finite)
        if self.writes:
            run_folder.append_records(self.folder / run_folder.METRICS, records)
        self.reporter.log(records)
        asked = self.stop.asked or self._time_is_up(setup.schedule.iterations_per_epoch)
        stop, is_last = hosts.any_asks(asked), epoch == setup.schedule.epochs
        if stop or epoch % setup.config.checkpoint_every == 0 or is_last:
            self.checkpoints.save(epoch, (state, None), run_setup.identity(setup))
            if self.writes:
                shutil.rmtree(self.unfinished, ignore_errors=True)
            self.save_seconds = time.perf_counter() - began
        self.reporter.busy(self._progress(epoch, records))
        if stop and not is_last:
            raise Interrupted(f"stopped after epoch {epoch} of {setup.schedule.epochs}, all saved")

    def _keys(self, epoch: int) -> jax.Array:
        """Derive an epoch's evaluation keys, the same whether resumed or not."""
        return jax.vmap(jax.random.fold_in, (0, None))(self.eval_keys, epoch)

    def _records(self, epoch: int, scalars: dict, results: list[Record]) -> list[Record]:
        config, schedule = self.setup.config.train, self.setup.schedule
        when = {
            "epoch": epoch,
            "env_steps": schedule.env_steps(config, epoch),
            "updates": schedule.updates(config, epoch),
            "time/train_s": self.train_seconds,
        }
        return [
            {"member": i} | when | result | {k: np.asarray(v)[i].item() for k, v in scalars.items()}
            for i, result in enumerate(results)
        ]

    def _check_finite(self, records: list[Record], finite: Any) -> None:
        """Stop where learning has broken down; the last checkpoint is from before.

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
        if broken:
            kept = f"the last good checkpoint is kept in {self.folder}"
            raise ValueError(
                f"{broken[0]} in epoch {records[0]['epoch']}; "
                f"{kept if self.checkpoints.numbers() else 'nothing was saved'}: "
                f"lower the learning rates and start again"
            )

    def _progress(self, epoch: int, records: list[Record]) -> str:
        """Describe an epoch in one line; figures are means over the members."""
        setup = self.setup
        steps = setup.schedule.env_steps(setup.config.train, epoch)
        rate = self._iterations(epoch) / self.train_seconds
        each = setup.config.train.num_envs * setup.config.train.steps_per_iteration
        speed = rate * each * len(records)
        left = (self._iterations(setup.schedule.epochs) - self._iterations(epoch)) / rate
        shown = {
            "return": "eval/return",
            "goals": "eval/reachable_modes",
            "alpha": "alpha/value",
        }
        means = [
            f"{word} {np.mean([r[name] for r in records]):.3g}"
            for word, name in shown.items()
            if name in records[0]
        ]
        return " | ".join(
            [
                f"{steps:,} of {setup.config.train.env_steps:,} env steps",
                f"{speed:,.0f} steps/s",
                *means,
                f"{console.duration(left)} left",
            ]
        )

    def _iterations(self, epoch: int) -> int:
        """Count the iterations of this process until the end of an epoch."""
        return epoch * self.setup.schedule.iterations_per_epoch - self.begun

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
            "timings": self._timings(),
            **machine.environment_facts(),
        }
        if self.writes:
            final_evaluation.save_episodes(self.setup, self.folder, episodes)
            run_folder.write_json(self.folder / run_folder.SUMMARY, summary)
            final_evaluation.draw(self.setup, self.folder, episodes, results)
        final_evaluation.draw_study(self.setup, self.folder, episodes, state.agent)
        return summary

    def _timings(self) -> dict[str, float]:
        """Report speeds summed over the members, of what this process trained."""
        config, iterations = self.setup.config.train, self._iterations(self.setup.schedule.epochs)
        rate = len(self.setup.members.seeds) / self.train_seconds if self.train_seconds else 0.0
        each = config.steps_per_iteration * config.num_envs
        return {
            "compile_s": self.compile_seconds,
            "train_s": self.train_seconds,
            "env_steps_per_s": iterations * each * rate,
            "updates_per_s": iterations * config.updates_per_iteration * rate,
        }
