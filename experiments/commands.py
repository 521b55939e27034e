"""What the commands of the command line do."""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from drac_jax import experiment as exp
from drac_jax import job as jobs
from drac_jax import report, saved
from drac_jax.dry_run import describe
from drac_jax.experiment import DEFAULT_PRESET
from drac_jax.job import Job
from drac_jax.report import Reporter
from drac_jax.robustness import MEASURES, RobustnessConfig
from drac_jax.runner import Interrupted, Run
from experiments import EXPERIMENTS, find
from experiments.options import parse, parse_as

BARE_RUN = "multigoal_amortized"
EXIT_INTERRUPTED = 130
TABLE = {
    "eval/return": "return",
    "eval/reachable_modes": "goals",
    "eval/multi_goal_score": "score",
    "eval/arrival_rate": "arrive",
    "eval/removal_sr5": "removal SR5",
    "eval/obstacle_sr5": "obstacle SR5",
}


def list_experiments(args: argparse.Namespace, words: list[str]) -> int:
    """Print the experiments, a line each."""
    width = max(map(len, EXPERIMENTS))
    for name, experiment in EXPERIMENTS.items():
        print(f"{name:{width}}  {experiment.summary} [{', '.join(experiment.presets)}]")
    return 0


def run(args: argparse.Namespace, words: list[str]) -> int:
    """Train, or go on with a run, or only say what would be run."""
    job, warnings = _resumed(args, words) if args.resume else _new(args, words)
    for warning in warnings:
        print(f"note: {warning}")
    if args.dry_run:
        print(describe(job))
        return 0
    folder = args.resume or report.new_folder(args.runs_dir, job.experiment.name)
    reporter = Reporter(args.wandb)
    reporter.say(f"{job.experiment.name} [{job.preset}] -> {folder}")
    try:
        session = Run(job, folder, reporter)
        summary = session.resume() if args.resume else session.start()
    except Interrupted as stop:
        reporter.say(f'{stop}; go on with: make run ARGS="--resume {folder}"')
        return EXIT_INTERRUPTED
    finally:
        reporter.close()
    _print_results(summary["seeds"])
    _print_outcome(folder, summary["timings"])
    return 0


def evaluate(args: argparse.Namespace, words: list[str]) -> int:
    """Play a saved run again: more episodes, the obstacle variant, another map."""
    if args.name is None:
        raise ValueError(
            "evaluate needs the folder of a run: python -m experiments evaluate FOLDER"
        )
    folder = Path(args.name)
    identity = saved.read_identity(folder)
    experiment = find(identity["experiment"])
    trained = saved.config_of(experiment, identity)
    asked = parse(trained, words, f"python -m experiments evaluate {folder}")
    job, _ = jobs.prepare(experiment, trained, identity["preset"])
    reporter = Reporter()
    folder, results = saved.evaluate(job, asked, folder, reporter)
    reporter.close()
    _print_results(results)
    print(f"results and pictures: {folder}")
    return 0


def robustness(args: argparse.Namespace, words: list[str]) -> int:
    """Play a saved run on maps with random walls that it has not seen."""
    if args.name is None:
        raise ValueError(
            "robustness needs the folder of a run: python -m experiments robustness FOLDER"
        )
    folder = Path(args.name)
    identity = saved.read_identity(folder)
    experiment = find(identity["experiment"])
    prog = f"python -m experiments robustness {folder}"
    asked = parse_as(RobustnessConfig, RobustnessConfig(), words, prog)
    config = saved.config_of(experiment, identity)
    job, _ = jobs.prepare(experiment, config, identity["preset"])
    reporter = Reporter()
    records = saved.play_perturbed(job, asked, folder, reporter)
    reporter.close()
    _print_results(_medians(records))
    print(f"medians over {len(job.members.seeds)} member(s); every value and pictures: {folder}")
    return 0


def _medians(records: list[dict]) -> list[dict]:
    """Take the median over the members for each number of walls."""
    groups = [
        [r for r in records if r["walls"] == k] for k in sorted({r["walls"] for r in records})
    ]
    return [
        {"walls": group[0]["walls"]}
        | {name: float(np.median([r[name] for r in group])) for name in MEASURES}
        for group in groups
    ]


def _new(args: argparse.Namespace, words: list[str]) -> tuple[Job, list[str]]:
    experiment = find(args.name or BARE_RUN)
    preset = args.preset or DEFAULT_PRESET
    prog = f"python -m experiments {args.command} {experiment.name}"
    return jobs.prepare(experiment, parse(experiment.config(preset), words, prog), preset)


def _resumed(args: argparse.Namespace, words: list[str]) -> tuple[Job, list[str]]:
    """Rebuild a run's job from its folder; what is asked besides must agree with it."""
    identity = saved.read_identity(args.resume)
    experiment = find(identity["experiment"])
    wanted = {"experiment": args.name, "preset": args.preset}
    for name, value in wanted.items():
        if value not in (None, identity[name]):
            raise ValueError(f"{args.resume} is a run of {name} {identity[name]!r}, not {value!r}")
    config = saved.config_of(experiment, identity)
    asked = parse(config, words, f"python -m experiments run --resume {args.resume}")
    if found := exp.differences(exp.to_dict(config), exp.to_dict(asked)):
        raise ValueError(f"a resumed run keeps its config: {'; '.join(found)}; start a new run")
    return jobs.prepare(experiment, config, identity["preset"])


def _print_results(results: list[dict]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    labels = [name for name in results[0] if "/" not in name]
    measures = [name for name in TABLE if name in results[0]]
    for title in labels + [TABLE[name] for name in measures]:
        table.add_column(title, justify="right")
    for result in results:
        table.add_row(*(f"{result[name]:.3g}" for name in labels + measures))
    Console().print(table)


def _print_outcome(folder: Path, timings: dict[str, float]) -> None:
    print(
        f"compiled in {timings['compile_s']:.1f} s, trained in "
        f"{report.duration(timings['train_s'])} ({timings['env_steps_per_s']:,.0f} env steps/s, "
        f"{timings['updates_per_s']:,.0f} updates/s)\n"
        f"pictures: {folder}/trajectories.png, {folder}/curves.png"
    )


COMMANDS = {
    "list": list_experiments,
    "run": run,
    "sweep": run,
    "evaluate": evaluate,
    "robustness": robustness,
}


def execute(args: argparse.Namespace, words: list[str]) -> int:
    """Run the command that `args` names. -> the exit code."""
    if args.command not in COMMANDS:
        raise ValueError(f"command {args.command!r} is unknown; use one of {', '.join(COMMANDS)}")
    return COMMANDS[args.command](args, words)
