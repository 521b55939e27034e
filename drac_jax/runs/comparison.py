"""Comparisons: train several methods one after the other, then make one table and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from drac_jax.figures import method_curves, method_table, plots, quality_diversity
from drac_jax.runs.execution import showing
from drac_jax.runs.execution.runner import Run
from drac_jax.runs.execution.stopping import Interrupted
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import console, run_folder, run_lock
from drac_jax.runs.storage.checkpoint import STATES_ON_DISK
from drac_jax.runs.storage.console import Reporter
from drac_jax.types import Scene

COMPARISON, TABLE = "compare.json", "compare.md"


class Result(NamedTuple):
    """What a method's finished run left.

    seeds: final evaluations; records: of every epoch and member; episodes: arrays `paths`
    [members, N, T + 1, 2], `goals` and `returns` [members, N], where the task has a map.
    """

    seeds: list[dict[str, Any]]
    records: list[dict[str, Any]]
    episodes: Mapping[str, np.ndarray] | None


def is_finished(place: Path) -> bool:
    """Say whether a method's run folder holds a finished run."""
    return (place / run_folder.SUMMARY).exists()


def train(
    methods: Mapping[str, RunSetup],
    folder: Path,
    reporter: Reporter,
    deadline: float | None = None,
    asked: showing.Asked = showing.NOTHING,
) -> dict[str, str]:
    """Train methods one after the other, each in folder/<method>/; one that was begun goes on.
    deadline, asked: as of `Run`.

    -> the methods that broke down, and why; the others are trained nevertheless. Raises
    Interrupted when the user asks to stop, ValueError where the checkpoints do not fit or a
    method's folder is in use.
    """
    shapes = map(run_setup.abstract_state, methods.values())
    needed = sum(STATES_ON_DISK * run_setup.state_bytes(state) for state in shapes)
    run_folder.check_writable(folder, needed)
    broken: dict[str, str] = {}
    for number, (name, setup) in enumerate(methods.items(), start=1):
        place = folder / name
        place.mkdir(exist_ok=True)
        reporter.say(
            f"{number} of {len(methods)}: {setup.experiment.name} [{setup.preset}] -> {place}"
        )
        with run_lock.held(place):
            session = Run(setup, place, reporter, deadline, asked)
            if why := _train_one(session, name):
                broken[name] = why
        if session.stop.asked and number < len(methods):
            raise Interrupted(f"stopped after {name}, all saved")
    return broken


def _train_one(session: Run, name: str) -> str:
    """Train one method. -> why it broke down, or nothing."""
    say = session.reporter.say
    try:
        timings = begin_or_go_on(session)["timings"]
    except ValueError as error:
        say(f"{name} broke down: {error}")
        return str(error)
    time, speed = console.duration(timings["train_s"]), timings["env_steps_per_s"]
    say(f"{name}: trained in {time} ({speed:,.0f} env steps/s)")
    return ""


def begin_or_go_on(session: Run) -> dict[str, Any]:
    """Start a run, or resume it where its folder says that it was begun. -> the summary."""
    is_begun = (session.folder / run_folder.CONFIG).exists()
    return session.resume() if is_begun else session.start()


def read(folder: Path, names: Sequence[str]) -> dict[str, Result]:
    """Read what the finished methods of a comparison left, in the order of `names`."""
    return {name: _result(folder / name) for name in names if is_finished(folder / name)}


def _result(place: Path) -> Result:
    episodes = place / run_folder.EPISODES
    return Result(
        seeds=run_folder.read_json(place / run_folder.SUMMARY)["seeds"],
        records=run_folder.read_records(place / run_folder.METRICS),
        episodes=dict(np.load(episodes)) if episodes.exists() else None,
    )


def write_table(results: Mapping[str, Result], title: str, command: str, folder: Path) -> None:
    """Write compare.md: the table, and the command that it comes from."""
    seeds = {name: result.seeds for name, result in results.items()}
    rows = method_table.table(method_table.by_setting(seeds))
    parts = [f"# {title}", f"`{command}`", method_table.markdown(rows), method_table.CAPTION]
    if quality_diversity.is_measured(seeds):
        rows = quality_diversity.table(seeds)
        parts += [method_table.markdown(rows), quality_diversity.CAPTION]
    (folder / TABLE).write_text("\n\n".join(parts) + "\n")


def draw(results: Mapping[str, Result], title: str, scene: Scene | None, folder: Path) -> None:
    """Draw the learning curves and, where there is a map, episodes of each method's median seed."""
    records = method_table.by_setting({name: r.records for name, r in results.items()})
    method_curves.curves(records, title, folder / "curves.png")
    finals = {name: result.seeds for name, result in results.items()}
    if quality_diversity.is_measured(finals):
        quality_diversity.draw(finals, title, folder / "quality_diversity.png")
    if scene is None:
        return
    paths, goals, titles = [], [], []
    for name, (seeds, _, episodes) in results.items():
        if episodes is None:
            continue
        member = method_curves.median_member(seeds)
        paths.append(episodes["paths"][member])
        goals.append(episodes["goals"][member])
        titles.append(method_curves.panel_title(name, seeds[member]))
    if titles:
        plots.trajectories([scene] * len(titles), paths, goals, titles, folder / "trajectories.png")
