"""A sweep in chunks: members that do not fit in memory together train one chunk after the other.

Each chunk is a run of its own, in `chunk_<i>/`. All of them use one compiled program. Their results
are merged in the folder of the sweep.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from drac_jax.runs import comparison
from drac_jax.runs.execution import final_evaluation, showing
from drac_jax.runs.hardware import machine
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.experiment import Experiment, RunConfig
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import run_folder
from drac_jax.runs.storage.console import Reporter
from drac_jax.training.evaluate import Episodes


def prepare(
    experiment: Experiment, config: RunConfig, preset: str, num_devices: int | None = None
) -> tuple[list[RunSetup], list[str]]:
    """Prepare one setup a chunk: a single one where all members fit in memory. -> with warnings.
    Raises as `run_setup.prepare`."""
    exp.check_numbers(config)
    count = config.chunks
    # One member needs no looking after: to make an environment can take seconds.
    if not (count or config.chunk) and exp.count_members(config) > 1:
        count = run_setup.fewest_chunks(experiment, config, num_devices)
    if count <= 1 or config.chunk:
        setup, warnings = run_setup.prepare(experiment, config, preset, num_devices)
        return [setup], warnings
    prepared = [
        run_setup.prepare(experiment, replace(config, chunks=count, chunk=i), preset, num_devices)
        for i in range(1, count + 1)
    ]
    return [setup for setup, _ in prepared], prepared[0][1]


def train(
    chunks: list[RunSetup],
    folder: Path,
    reporter: Reporter,
    deadline: float | None = None,
    asked: showing.Asked = showing.NOTHING,
) -> dict[str, Any]:
    """Train the parts that are not finished, and put together what all have left. deadline,
    asked: as of `Run`.

    -> the summary of all members. Raises as `compare.train`, and ValueError for a part that broke
    down, when the others are trained.
    """
    whole = replace(chunks[0].config, chunk=0)
    identity = run_setup.identity(chunks[0]) | {"config": exp.to_dict(whole)}
    facts = {"spec": run_setup.spec_record(chunks[0]), **machine.environment_facts()}
    run_folder.write_json(folder / run_folder.CONFIG, identity | facts)
    by_name = {run_folder.chunk_place(folder, setup.config.chunk).name: setup for setup in chunks}
    left = {n: setup for n, setup in by_name.items() if not comparison.is_finished(folder / n)}
    if broken := comparison.train(left, folder, reporter, deadline, asked):
        name, why = next(iter(broken.items()))
        raise ValueError(f"{name} of {folder} broke down: {why}")
    return _merge(by_name, folder, whole)


def _merge(chunks: dict[str, RunSetup], folder: Path, whole: RunConfig) -> dict[str, Any]:
    results = comparison.read(folder, list(chunks))
    size = len(next(iter(chunks.values())).members.seeds)
    records = [
        record | {"member": record["member"] + i * size}
        for i, result in enumerate(results.values())
        for record in result.records
    ]
    (folder / run_folder.METRICS).unlink(missing_ok=True)
    run_folder.append_records(folder / run_folder.METRICS, records)
    seeds = [seed for result in results.values() for seed in result.seeds]
    summaries = [run_folder.read_json(folder / name / run_folder.SUMMARY) for name in chunks]
    timings = [part["timings"] for part in summaries]
    one = next(iter(chunks.values()))
    summary = {
        "experiment": one.experiment.name,
        "seeds": seeds,
        "best": [one for part in summaries for one in part.get("best", [])],
        "timings": _sum_of(timings),
        **machine.environment_facts(),
    }
    run_folder.write_json(folder / run_folder.SUMMARY, summary)
    setup = one._replace(members=exp.members_of(whole), config=whole)
    final_evaluation.draw(setup, folder, _episodes(list(results.values())), seeds)
    return summary


def _episodes(results: list[comparison.Result]) -> Episodes:
    """Make of what `final.save_episodes` kept the episodes that it was made of, of all members."""
    kept = [result.episodes for result in results if result.episodes is not None]

    def of(name: str) -> Any:
        return np.concatenate([episodes[name] for episodes in kept]) if kept else np.zeros(0)

    nothing: Any = np.zeros(0)
    paths, goals, returns = (of(name) for name in ("paths", "goals", "returns"))
    return Episodes(returns, nothing, goals, nothing, paths)


def _sum_of(timings: list[dict[str, float]]) -> dict[str, float]:
    """Add up seconds, and average speeds over the time of training."""
    seconds = {name: sum(t[name] for t in timings) for name in ("compile_s", "train_s")}
    rates = {
        name: sum(t[name] * t["train_s"] for t in timings) / max(seconds["train_s"], 1e-9)
        for name in ("env_steps_per_s", "updates_per_s")
    }
    return seconds | rates
