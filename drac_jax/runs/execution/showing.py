"""What a run shows of itself while it trains, if asked: charts for TensorBoard, and films."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from drac_jax.runs.hardware import devices, hosts
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import run_folder
from drac_jax.runs.storage.console import Reporter
from drac_jax.runs.storage.tensorboard import Charts
from drac_jax.training.evaluate import Episodes, make_evaluate
from drac_jax.types import Environment

Film = Callable[[Environment, Episodes, Path], None]


class Asked(NamedTuple):
    """What is to be shown. videos: epochs that are filmed; film: (environment, one episode, mp4
    file), which raises ValueError where it cannot draw."""

    tensorboard: bool = False
    videos: frozenset[int] = frozenset()
    film: Film | None = None


NOTHING = Asked()


class Showing:
    """What is shown of one run in its folder."""

    def __init__(self, setup: RunSetup, folder: Path, asked: Asked, reporter: Reporter):
        self._setup, self._folder, self._asked = setup, folder, asked
        self._reporter = reporter
        self._charts: Charts | None = None
        self._play: Callable | None = None
        self._has_failed = False

    def begin(self) -> None:
        """Open the charts, with what was recorded until now."""
        if self._asked.tensorboard and hosts.is_first():
            self._charts = Charts(self._folder, self._setup.members.labels)

    def epoch(self, epoch: int, records: list[dict[str, Any]], agents: Any, keys: Any) -> None:
        """Show an epoch. agents, keys: of all members, leaves [members, ...]."""
        if self._charts is not None:
            self._charts.log(records)
        if epoch in self._asked.videos and not self._has_failed:
            self._film(epoch, agents, keys)

    def close(self) -> None:
        """Finish the files."""
        if self._charts is not None:
            self._charts.close()

    def _film(self, epoch: int, agents: Any, keys: Any) -> None:
        """Film an episode of the first member; all processes must call it. What cannot be drawn is
        said once, and training goes on."""
        self._reporter.busy(f"filming an episode of epoch {epoch}")
        agent, key = _first(self._setup, agents, keys)
        if not hosts.is_first() or self._asked.film is None:
            return
        episode = self._episode(agent, key)
        place = self._folder / run_folder.VIDEOS
        place.mkdir(exist_ok=True)
        draft, path = place / "draft.mp4", place / f"epoch_{epoch:04}.mp4"
        try:
            self._asked.film(self._setup.env, episode, draft)
            draft.replace(path)
        except (ValueError, OSError) as error:
            self._has_failed = True
            self._reporter.say(f"note: no videos, training goes on: {error}")

    def _episode(self, agent: Any, key: jax.Array) -> Episodes:
        if self._play is None:
            env = self._setup.env
            qpos = env.visual.qpos if env.visual else None
            act = self._setup.algorithm.act
            self._play = jax.jit(make_evaluate(env, act, 1, record_paths=True, record=qpos))
        return jax.device_get(self._play(agent, key))


def _first(setup: RunSetup, agents: Any, keys: jax.Array) -> tuple[Any, jax.Array]:
    """Take the first member's agent and key, which every process can then read."""
    take = jax.jit(
        partial(jax.tree.map, lambda x: x[0]), out_shardings=devices.everywhere(setup.mesh)
    )
    agent, words = jax.device_get(take((agents, jax.random.key_data(keys))))
    return agent, jax.random.wrap_key_data(words)
