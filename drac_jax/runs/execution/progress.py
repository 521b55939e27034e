"""What is recorded and said of a run's epochs: counts, times, speeds."""

from typing import Any

import numpy as np

from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import console

Record = dict[str, Any]
SHOWN = {"return": "eval/return", "goals": "eval/reachable_modes", "alpha": "alpha/value"}


class Progress:
    """The counts and times of this process. begun: iterations that were trained before it."""

    def __init__(self, setup: RunSetup):
        self._setup = setup
        self.train_seconds, self.compile_seconds = 0.0, 0.0
        self.begun = 0

    def records(self, epoch: int, scalars: dict, results: list[Record]) -> list[Record]:
        """Put together the records of an epoch, one per member."""
        config, schedule = self._setup.config.train, self._setup.schedule
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

    def line(self, epoch: int, records: list[Record]) -> str:
        """Describe an epoch in one line; figures are means over the members."""
        config, schedule = self._setup.config.train, self._setup.schedule
        rate = self._iterations(epoch) / self.train_seconds
        speed = rate * config.num_envs * config.steps_per_iteration * len(records)
        left = (self._iterations(schedule.epochs) - self._iterations(epoch)) / rate
        means = [
            f"{word} {np.mean([r[name] for r in records]):.3g}"
            for word, name in SHOWN.items()
            if name in records[0]
        ]
        steps = f"{schedule.env_steps(config, epoch):,} of {config.env_steps:,} env steps"
        times = f"{speed:,.0f} steps/s", *means, f"{console.duration(left)} left"
        return " | ".join([steps, *times])

    def timings(self) -> dict[str, float]:
        """Report speeds summed over the members, of what this process trained."""
        config = self._setup.config.train
        iterations = self._iterations(self._setup.schedule.epochs)
        members = len(self._setup.members.seeds)
        rate = members / self.train_seconds if self.train_seconds else 0.0
        each = config.steps_per_iteration * config.num_envs
        return {
            "compile_s": self.compile_seconds,
            "train_s": self.train_seconds,
            "env_steps_per_s": iterations * each * rate,
            "updates_per_s": iterations * config.updates_per_iteration * rate,
        }

    def _iterations(self, epoch: int) -> int:
        """Count the iterations of this process until the end of an epoch."""
        return epoch * self._setup.schedule.iterations_per_epoch - self.begun
