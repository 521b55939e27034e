"""The only impure loop: compile, train, time, log, evaluate, save, stop, resume."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Lowered

from drac_jax import compile_times, devices, final, processes, report, sweep
from drac_jax import job as jobs
from drac_jax.checkpoint import KEEP, Checkpoints
from drac_jax.evaluate import Episodes, make_evaluate
from drac_jax.job import Job
from drac_jax.report import Reporter
from drac_jax.train import TrainState

Record = dict[str, Any]


class Interrupted(Exception):
    """The user asked to stop; everything up to the last epoch is saved."""


class NoCheckpoint(ValueError):
    """A run has no checkpoint that can be read."""


class Programs(NamedTuple):
    """The compiled functions of a run, over all members at once."""

    init: Callable
    epoch: Callable
    evaluate: Callable
    compile_seconds: float


class Run:
    """One run in progress: its folder, its state, and the clock."""

    def __init__(self, job: Job, folder: Path, reporter: Reporter):
        self.job, self.folder, self.reporter = job, folder, reporter
        self.shapes = jobs.abstract_state(job)
        report.check_writable(folder, (KEEP + 1) * jobs.state_bytes(self.shapes))
        jobs.check_state_memory(self.shapes, job.mesh)
        self.checkpoints = Checkpoints(folder / report.CHECKPOINTS)
        start = (*sweep.keys(job.members), job.members.hparams)
        self.train_keys, self.eval_keys, self.hparams = devices.copies(job.mesh, start)
        self.writes = processes.is_first()
        self.train_seconds = 0.0
        self.first = 0
        self.stop_asked = False  # in the last epoch, which is no reason not to finish the run

    def start(self) -> dict[str, Any]:
        """Train from the beginning. -> the summary."""
        facts = {"spec": jobs.spec_record(self.job), **report.environment_facts()}
        if self.writes:
            report.write_json(self.folder / report.CONFIG, jobs.identity(self.job) | facts)
        programs = self._compile()
        self.reporter.busy("filling the replay until learning starts")
        return self._train(programs, programs.init(self.train_keys, self.hparams))

    def resume(self) -> dict[str, Any]:
        """Go on from the newest checkpoint that can be read, or from the beginning where there is
        none: the run was killed before its first. -> the summary."""
        try:
            state, self.first = load_state(self.job, self.shapes, self.checkpoints, self.reporter)
        except NoCheckpoint:
            self.reporter.say(f"{self.folder} has no checkpoint yet: starting from the beginning")
            if self.writes:
                report.drop_records_after(self.folder / report.METRICS, 0)
            return self.start()
        if self.writes:
            report.drop_records_after(self.folder / report.METRICS, self.first)
        total = self.job.schedule.epochs
        self.reporter.say(f"resuming {self.folder} after epoch {self.first} of {total}")
        return self._train(self._compile(), state)

    def _compile(self) -> Programs:
        """Compile ahead of time, so that training time is training time."""
        last = compile_times.last(self.job)
        expected = "" if last is None else f", {last:.0f} s last time"
        self.reporter.busy(f"compiling (once per run{expected})")
        began = time.perf_counter()
        job, state = self.job, self.shapes
        init, epoch = lower_programs(job, state, (self.train_keys, self.hparams))
        inspect = jax.vmap(_make_inspect(job))
        evaluate = devices.lower(job.mesh, inspect, state.agent, self.eval_keys)
        with ThreadPoolExecutor() as pool:
            compiled = list(pool.map(Lowered.compile, (init, epoch, evaluate)))
        seconds = time.perf_counter() - began
        self.reporter.say(f"compiled in {seconds:.1f} s")
        if self.writes:
            compile_times.keep(job, seconds)
        return Programs(compiled[0], compiled[1], compiled[2], seconds)

    def _train(self, programs: Programs, state: TrainState) -> dict[str, Any]:
        epochs = self.job.schedule.epochs
        with _stop_requests(self.reporter) as stop_asked, processes.together():
            for epoch in range(self.first + 1, epochs + 1):
                state, stop = self._epoch(programs, state, epoch, stop_asked)
                if stop and epoch < epochs:
                    raise Interrupted(f"stopped after epoch {epoch} of {epochs}, all saved")
            self.stop_asked = processes.any_asks(stop_asked())
        return self._finish(programs, state)

    def _epoch(
        self, programs: Programs, state: TrainState, epoch: int, stop_asked: Callable[[], bool]
    ) -> tuple[TrainState, bool]:
        """Train, evaluate, record and save one epoch. -> the state, and whether to stop here."""
        began = time.perf_counter()
        state, scalars = jax.block_until_ready(programs.epoch(state))
        self.train_seconds += time.perf_counter() - began
        evaluated = programs.evaluate(state.agent, self._keys(epoch))
        scalars, (episodes, finite) = jax.device_get((scalars, evaluated))
        records = self._records(epoch, scalars, final.summarise(self.job, episodes))
        self._check_finite(records, finite)
        if self.writes:
            report.append_records(self.folder / report.METRICS, records)
        self.reporter.log(records)
        job, stop = self.job, processes.any_asks(stop_asked())
        if stop or epoch % job.config.checkpoint_every == 0 or epoch == job.schedule.epochs:
            self.checkpoints.save(epoch, state, jobs.identity(job))
        self.reporter.busy(self._progress(epoch, records))
        return state, stop

    def _keys(self, epoch: int) -> jax.Array:
        """Derive an epoch's evaluation keys, the same whether resumed or not."""
        return jax.vmap(jax.random.fold_in, (0, None))(self.eval_keys, epoch)

    def _records(self, epoch: int, scalars: dict, results: list[Record]) -> list[Record]:
        config, schedule = self.job.config.train, self.job.schedule
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
                f"{kept if self.checkpoints.epochs() else 'nothing was saved'}: "
                f"lower the learning rates and start again"
            )

    def _progress(self, epoch: int, records: list[Record]) -> str:
        """Describe an epoch in one line; figures are means over the members."""
        job, done = self.job, epoch - self.first
        steps = job.schedule.env_steps(job.config.train, epoch)
        before = job.schedule.env_steps(job.config.train, self.first)
        speed = (steps - before) * len(records) / self.train_seconds
        left = self.train_seconds / done * (job.schedule.epochs - epoch)
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
                f"{steps:,} of {job.config.train.env_steps:,} env steps",
                f"{speed:,.0f} steps/s",
                *means,
                f"{report.duration(left)} left",
            ]
        )

    def _finish(self, programs: Programs, state: TrainState) -> dict[str, Any]:
        """Play the final evaluation and write summary and pictures."""
        self.reporter.busy("final evaluation")
        keys = self._keys(self.job.schedule.epochs + 1)
        results, episodes = final.final_evaluation(self.job, self.job.env, state.agent, keys)
        summary = {
            "experiment": self.job.experiment.name,
            "seeds": results,
            "timings": self._timings(programs.compile_seconds),
            **report.environment_facts(),
        }
        if self.writes:
            final.save_episodes(self.job, self.folder, episodes)
            report.write_json(self.folder / report.SUMMARY, summary)
            final.draw(self.job, self.folder, episodes, results)
        final.draw_study(self.job, self.folder, episodes, state.agent)
        return summary

    def _timings(self, compile_seconds: float) -> dict[str, float]:
        """Report speeds summed over the members, of the part that this process trained."""
        config, schedule = self.job.config.train, self.job.schedule
        ends = (self.first, schedule.epochs)
        steps = [schedule.env_steps(config, epoch) for epoch in ends]
        updates = [schedule.updates(config, epoch) for epoch in ends]
        rate = len(self.job.members.seeds) / self.train_seconds if self.train_seconds else 0.0
        return {
            "compile_s": compile_seconds,
            "train_s": self.train_seconds,
            "env_steps_per_s": (steps[1] - steps[0]) * rate,
            "updates_per_s": (updates[1] - updates[0]) * rate,
        }


def lower_programs(job: Job, state: TrainState, start: Any) -> tuple[Lowered, Lowered]:
    """Lower the start and the epoch of all members, on the job's devices: (keys, hparams) -> states
    and (states) -> (states, metrics). state: from `abstract_state`; start: (keys, hparams)."""
    mesh, places = job.mesh, jax.tree.map(lambda x: x.sharding, state)
    init = devices.lower(mesh, jax.vmap(job.functions.init), *start, out_shardings=places)
    epoch = devices.lower(
        mesh,
        sweep.over_members(job.functions.epoch),
        state,
        out_shardings=(places, devices.everywhere(mesh)),
        donate_argnums=0,
    )
    return init, epoch


def _make_inspect(job: Job) -> Callable[[Any, jax.Array], tuple[Episodes, Any]]:
    """Make (agent, key) -> its episodes, and whether each leaf of it is finite."""
    evaluate = make_evaluate(job.env, job.algorithm.act, job.config.eval.episodes)

    def inspect(agent: Any, key: jax.Array) -> tuple[Episodes, Any]:
        return evaluate(agent, key), jax.tree.map(lambda x: jnp.isfinite(x).all(), agent)

    return inspect


def load_state(
    job: Job, like: TrainState, checkpoints: Checkpoints, reporter: Reporter
) -> tuple[TrainState, int]:
    """Restore the newest readable state and its epoch; a damaged newer one is dropped.

    like: from `abstract_state`. Raises ValueError where none can be read, or where it was written
    with another config.
    """
    for epoch in checkpoints.epochs():
        try:
            saved = checkpoints.meta(epoch)
            if not (found := jobs.mismatch(saved, job)):
                return checkpoints.restore(epoch, like), epoch
        except Exception as error:  # Orbax raises whatever its storage does
            first_line = (str(error) or type(error).__name__).splitlines()[0]
            reporter.say(f"checkpoint {epoch} is damaged, using the one before it: {first_line}")
            checkpoints.drop(epoch)
            continue
        raise ValueError(f"the checkpoint was written with another config: {'; '.join(found)}")
    raise NoCheckpoint("there is no checkpoint that can be read; start a new run")


@contextmanager
def _stop_requests(reporter: Reporter) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C, SIGTERM or SIGHUP into a flag: the epoch is finished and saved."""
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        asked.append(number)
        reporter.say("stopping after this epoch; press Ctrl-C again to stop at once")
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup leaves it
        signals.append(signal.SIGHUP)
    before = [signal.signal(number, note) for number in signals]
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
