"""The best agents of a run by its evaluations, one per member, beside the newest checkpoints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.runs.storage import run_folder
from drac_jax.runs.storage.checkpoint import Checkpoints

MEASURE = "eval/return"
# A run can go on from a checkpoint that is two or three before its newest: there it needs the best
# until then.
KEEP = 3
EPOCHS, RETURNS = "best_epochs", "best_returns"  # of the meta item: by member


class BestAgents:
    """What was best until now. They are written just before a checkpoint, so that a run that goes
    on from this finds what it had. folder: of the run; like: shapes of the members' agents, with
    shardings."""

    def __init__(self, folder: Path, like: Any):
        self._checkpoints = Checkpoints(folder / run_folder.BEST, keep=KEEP)
        self._like, self._agents = like, None
        members = jax.tree.leaves(like)[0].shape[0]
        self.epochs, self.returns = np.zeros(members, int), np.full(members, -np.inf)
        self._unsaved = 0  # the epoch that they were last changed in, if they are not saved
        places = jax.tree.map(lambda x: x.sharding, like)
        self._choose = jax.jit(_choose, out_shardings=places)

    def restore(self, epoch: int) -> None:
        """Take up those that were best when `epoch` ended. Later ones are removed: the run will
        find them again, or others."""
        for number in self._checkpoints.numbers():
            try:
                if number <= epoch:
                    meta = self._checkpoints.meta(number)
                    self._agents = self._checkpoints.restore_agent(number, self._like)
                    self.epochs, self.returns = np.array(meta[EPOCHS]), np.array(meta[RETURNS])
                    return
            except Exception:  # Orbax raises whatever its storage does; the one before may do
                pass
            self._checkpoints.drop(number)

    def consider(self, epoch: int, agents: Any, records: Sequence[dict[str, Any]]) -> None:
        """Take over the members that have not been as good before. agents: leaves [members, ...];
        records: of the epoch, one per member."""
        returns = np.array([record[MEASURE] for record in records])
        is_better = returns > self.returns
        if is_better.any():
            # A copy in any case: the loop reuses the memory of its own.
            self._agents = self._choose(is_better, agents, self._agents or agents)
            self.epochs = np.where(is_better, epoch, self.epochs)
            self.returns = np.where(is_better, returns, self.returns)
            self._unsaved = epoch

    def save(self, identity: dict[str, Any]) -> None:
        """Write them, if they are new. The former ones stay until these are whole."""
        if self._unsaved:
            best = {EPOCHS: self.epochs.tolist(), RETURNS: self.returns.tolist()}
            self._checkpoints.save_agent(self._unsaved, self._agents, identity | best)
            self._unsaved = 0

    def summary(self, labels: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Say which epoch each member's best one is of. labels: one per member."""
        found = zip(labels, self.epochs.tolist(), self.returns.tolist(), strict=True)
        return [label | {"epoch": epoch, MEASURE: best} for label, epoch, best in found if epoch]


def _choose(is_better: jax.Array, new: Any, old: Any) -> Any:
    """Take the members that are better. is_better: [members]; new, old: leaves [members, ...]."""

    def choose(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.where(is_better.reshape(-1, *[1] * (x.ndim - 1)), x, y)

    return jax.tree.map(choose, new, old)
