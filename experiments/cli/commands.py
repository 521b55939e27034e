"""What the commands of the command line do."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from drac_jax import ranges
from drac_jax.algorithms.registry import METHODS
from drac_jax.figures import plots
from drac_jax.measures.wall_robustness import MEASURES, RobustnessConfig
from drac_jax.runs import chunks, saved_run
from drac_jax.runs.execution.runner import Run
from drac_jax.runs.execution.stopping import Interrupted
from drac_jax.runs.hardware import hosts
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.dry_run import describe
from drac_jax.runs.setup.experiment import DEFAULT_PRESET, Experiment, RunConfig
from drac_jax.runs.storage import console, run_folder, run_lock
from drac_jax.runs.storage.console import Reporter
from drac_jax.training.evaluate import Episodes
from drac_jax.types import Environment
from experiments import EXPERIMENTS, find
from experiments.cli import exits
from experiments.cli.compare_command import compare
from experiments.cli.options import parse, parse_as

BARE_RUN = "multigoal_amortized"
TABLE = {
    "eval/return": "return",
    "eval/reachable_modes": "goals",
    "eval/multi_goal_score": "score",
    "eval/arrival_rate": "arrive",
    "eval/removal_sr5": "removal SR5",
    "eval/obstacle_sr5": "obstacle SR5",
}


def list_experiments(args: argparse.Namespace, words: list[str]) -> int:
    """Print the tasks, a line each, and the methods; an experiment is one of each."""
    tasks = {name.rpartition("_")[0]: task for name, task in EXPERIMENTS.items()}
    width = max(map(len, tasks))
    for name, task in tasks.items():
        summary = task.summary.rpartition(": ")[0]
        print(f"{name:{width}}  {summary} [{', '.join(task.presets)}]")
    print("\nEach of them with every method, as in multigoal_sac:")
    for name, method in METHODS.items():
        print(f"{name:{width}}  {method.summary}")
    return 0


def run(args: argparse.Namespace, words: list[str]) -> int:
    """Train, or go on with a run, or only say what would be run."""
    experiment, config, preset = _resumed(args, words) if args.resume else _new(args, words)
    if args.command == "sweep" and not config.grid:
        raise ValueError("grid is empty: sweep needs --grid.NAME VALUE VALUE; or use run")
    prepared, warnings = chunks.prepare(experiment, config, preset, args.devices)
    for warning in warnings:
        print(f"note: {warning}")
    if args.dry_run:
        print("\n\n".join(describe(setup) for setup in prepared))
        return 0
    name = experiment.name
    folder = args.resume or Path(
        hosts.from_first(lambda: str(run_folder.new_folder(args.runs_dir, name).absolute()))
    )
    reporter = Reporter(args.wandb if hosts.is_first() else None)
    reporter.say(f"{name} [{preset}] -> {folder}")
    try:
        with run_lock.held(folder):
            if len(prepared) > 1:
                summary = chunks.train(prepared, folder, reporter, args.deadline)
            else:
                session = Run(prepared[0], folder, reporter, args.deadline)
                summary = session.resume() if args.resume else session.start()
    except Interrupted as stop:
        reporter.say(f'{stop}; go on with: make run ARGS="--resume {folder}"')
        return exits.INTERRUPTED
    finally:
        reporter.close()
    _print_results(summary["seeds"])
    _print_outcome(folder, summary["timings"])
    return 0


def evaluate(args: argparse.Namespace, words: list[str]) -> int:
    """Play a saved run again: more episodes, the obstacle variant, another map."""
    folder, experiment, identity, asked = _saved(args, words)
    _undivided(identity, folder)
    trained = saved_run.config_of(experiment, identity)
    setup, _ = run_setup.prepare(experiment, trained, identity["preset"])
    reporter = Reporter()
    folder, results = saved_run.evaluate(setup, asked, folder, reporter)
    reporter.close()
    _print_results(results)
    print(f"results and pictures: {folder}")
    return 0


def render(args: argparse.Namespace, words: list[str]) -> int:
    """Play some episodes of a saved policy and draw them: on the map, and as moving pictures."""
    for name in ("episodes", "member", "seed"):
        ranges.check_number(name, getattr(args, name), f"--{name}")
    folder, experiment, _, asked = _saved(args, words)
    env = saved_run.env_to_play(experiment, folder, asked)
    if env.visual is None and env.spec.scene is None:
        raise ValueError(f"{env.spec.name} cannot be drawn: it has neither a map nor a model")
    reporter = Reporter()
    reporter.busy(f"playing {args.episodes} episode(s) of {env.spec.name}")
    episodes = saved_run.play(folder, env, args.member, args.episodes, args.seed)
    place = run_folder.new_folder(folder, "render")
    if env.spec.scene is not None:
        title = f"member {args.member}: {(episodes.goals > 0).sum()} of {args.episodes} arrive"
        paths, goals = episodes.paths[None], episodes.goals[None]
        plots.trajectories([env.spec.scene], paths, goals, [title], place / "trajectories.png")
    if env.visual is not None:
        reporter.busy("drawing")
        for problem in _draw_model(env, episodes, place):
            reporter.say(f"note: {problem}")
    reporter.close()
    _print_episodes(episodes)
    print(f"{place}: {', '.join(sorted(path.name for path in place.iterdir()))}")
    return 0


def robustness(args: argparse.Namespace, words: list[str]) -> int:
    """Play a saved run on maps with random walls that it has not seen."""
    folder, experiment, identity = _trained(args)
    prog = f"python -m experiments robustness {folder}"
    asked = parse_as(RobustnessConfig, RobustnessConfig(), words, prog)
    ranges.check(asked)
    _undivided(identity, folder)
    config = saved_run.config_of(experiment, identity)
    setup, _ = run_setup.prepare(experiment, config, identity["preset"])
    reporter = Reporter()
    records = saved_run.play_perturbed(setup, asked, folder, reporter)
    reporter.close()
    _print_results(_medians(records))
    print(f"medians over {len(setup.members.seeds)} member(s); every value and pictures: {folder}")
    return 0


def _draw_model(env: Environment, episodes: Episodes, place: Path) -> list[str]:
    """Write a page and a GIF of each episode. -> what is not there of them, and why."""
    from envs.render import draw_gifs, longest_gif, page  # imports MuJoCo, which takes a second

    model, dt, problems = env.visual.model(), env.visual.dt, []
    qpos = [way[:n] for way, n in zip(episodes.records, episodes.lengths, strict=True)]
    names = [f"episode_{number}" for number in range(1, len(qpos) + 1)]
    try:
        for name, way in zip(names, qpos, strict=True):
            (place / f"{name}.html").write_text(page(model, way, dt))
    except ValueError as error:
        problems.append(f"no pages: {error}")
    clips = {place / f"{name}.gif": way for name, way in zip(names, qpos, strict=True)}
    try:
        draw_gifs(model, clips, dt, from_above=env.spec.scene is not None)
        if dt * max(episodes.lengths) > longest_gif(dt):
            problems.append(f"the GIFs end after {longest_gif(dt):.1f} s, the pages do not")
    except ValueError as error:
        problems.append(f"no GIFs: {error}")
    return problems


def _undivided(identity: dict[str, Any], folder: Path) -> None:
    """Raise ValueError for a sweep in chunks, whose members have no checkpoint in common."""
    if identity["config"].get("chunks", 0) > 1 and not identity["config"]["chunk"]:
        raise ValueError(f"{folder} is a sweep in chunks; name one: {chunks.place_of(folder, 1)}")


def _trained(args: argparse.Namespace) -> tuple[Path, Experiment, dict[str, Any]]:
    """Find the run whose folder is named. -> it, its experiment, its identity."""
    if args.name is None:
        usage = f"python -m experiments {args.command} FOLDER"
        raise ValueError(f"{args.command} needs the folder of a run: {usage}")
    folder = Path(args.name)
    identity = saved_run.read_identity(folder)
    return folder, find(identity["experiment"]), identity


def _saved(
    args: argparse.Namespace, words: list[str]
) -> tuple[Path, Experiment, dict[str, Any], RunConfig]:
    """Do as `_trained`, and read what is asked of the run besides."""
    folder, experiment, identity = _trained(args)
    trained = saved_run.config_of(experiment, identity)
    asked = parse(trained, words, f"python -m experiments {args.command} {folder}")
    exp.check_numbers(asked)
    return folder, experiment, identity, asked


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


Settled = tuple[Experiment, RunConfig, str]  # the last is the preset's name


def _new(args: argparse.Namespace, words: list[str]) -> Settled:
    experiment = find(args.name or BARE_RUN)
    preset = args.preset or DEFAULT_PRESET
    prog = f"python -m experiments {args.command} {experiment.name}"
    return experiment, parse(experiment.config(preset), words, prog), preset


def _resumed(args: argparse.Namespace, words: list[str]) -> Settled:
    """Rebuild a run's values from its folder; what is asked besides must agree with them."""
    identity = saved_run.read_identity(args.resume)
    experiment = find(identity["experiment"])
    wanted = {"experiment": args.name, "preset": args.preset}
    for name, value in wanted.items():
        if value not in (None, identity[name]):
            raise ValueError(f"{args.resume} is a run of {name} {identity[name]!r}, not {value!r}")
    config = saved_run.config_of(experiment, identity)
    asked = parse(config, words, f"python -m experiments run --resume {args.resume}")
    if found := exp.differences(exp.to_dict(config), exp.to_dict(asked)):
        raise ValueError(f"a resumed run keeps its config: {'; '.join(found)}; start a new run")
    return experiment, config, identity["preset"]


def _print_results(results: list[dict]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    labels = [name for name in results[0] if "/" not in name]
    measures = [name for name in TABLE if name in results[0]]
    for title in labels + [TABLE[name] for name in measures]:
        table.add_column(title, justify="right")
    for result in results:
        table.add_row(*(f"{result[name]:.3g}" for name in labels + measures))
    Console().print(table)


def _print_episodes(episodes: Episodes) -> None:
    columns = zip(episodes.returns, episodes.lengths, episodes.goals, strict=True)
    for number, (total, length, goal) in enumerate(columns, start=1):
        arrived = f", goal {goal}" if goal else ""
        print(f"episode {number}: return {total:.4g}, {length} env steps{arrived}")


def _print_outcome(folder: Path, timings: dict[str, float]) -> None:
    pictures = ", ".join(map(str, sorted(folder.glob("*.png"))))
    print(
        f"compiled in {timings['compile_s']:.1f} s, trained in "
        f"{console.duration(timings['train_s'])} ({timings['env_steps_per_s']:,.0f} env steps/s, "
        f"{timings['updates_per_s']:,.0f} updates/s)\n"
        f"pictures: {pictures}"
    )


def decoder(args: argparse.Namespace, words: list[str]) -> int:
    """Train a level decoder."""
    from envs.mario.decoder_training import train_decoder

    return train_decoder.main([args.name, *words] if args.name else words)


COMMANDS = {
    "list": list_experiments,
    "run": run,
    "sweep": run,
    "evaluate": evaluate,
    "render": render,
    "robustness": robustness,
    "compare": compare,
    "decoder": decoder,
}


def execute(args: argparse.Namespace, words: list[str]) -> int:
    """Run the command that `args` names. -> the exit code."""
    if args.command not in COMMANDS:
        raise ValueError(f"command {args.command!r} is unknown; use one of {', '.join(COMMANDS)}")
    return COMMANDS[args.command](args, words)
