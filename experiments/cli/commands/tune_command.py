"""The command `tune`: search a method's hyperparameters, a batch of trials in one program."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, Suppress, arg

from drac_jax import ranges
from drac_jax.runs import saved_agent
from drac_jax.runs.execution.stopping import Interrupted, Stop
from drac_jax.runs.hardware import machine
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.dry_run import describe
from drac_jax.runs.setup.experiment import RunConfig
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import console, run_folder
from drac_jax.runs.storage.console import Reporter
from experiments import find
from experiments.cli import terminal
from experiments.cli.commands.train_command import BARE_RUN
from experiments.cli.options import parsing
from experiments.cli.options.machine_options import Devices, set_up
from experiments.tuning import search_space, shared_study, tuner, tuning_report
from experiments.tuning.batch_trainer import BatchTrainer
from experiments.tuning.shared_study import SharedStudy

TUNING = "tuning"  # in config.json: what every worker must agree on
Bounds = Annotated[
    tuple[float, ...], arg(metavar="LOWEST HIGHEST", help="search between these values")
]


@dataclass(frozen=True)
class Tuning:
    """What is searched for, and how."""

    objective: str = "eval/return"  # a measure of every epoch's evaluation, its mean over the seeds
    last_epochs: int = 3  # how many of the last evaluations the objective is the mean of
    minimize: bool = False  # search for the smallest value, not the largest
    log: tuple[str, ...] = ()  # searched on a logarithmic scale, as learning rates always are
    linear: tuple[str, ...] = ()  # searched on a linear scale
    sampler: shared_study.Sampler = "tpe"  # Optuna's, or values at random
    # Give up trials below the median of the finished ones, after a quarter of the epochs. A batch
    # is one program, so it saves time only where all of a batch are given up, or `stop_share`.
    prune: bool = False
    stop_share: float = 1.0  # of a batch's trials; when so many are pruned, it ends with the others


@dataclass(frozen=True)
class Tune[Values, Search]:
    """Search hyperparameters with Optuna: one compiled program trains a batch of trials at a time.

    Several processes may work at one study: start the same command again with --study NAME, or with
    --resume FOLDER; so does a study that was stopped or killed go on.

    Example: python -m experiments tune --trials 64 --search.beta 0.4 0.8
    """

    values: Annotated[Values, arg(name="")]
    search: Search
    tuning: Annotated[Tuning, arg(name="")] = Tuning()
    experiment: Positional[str] = BARE_RUN  # its name, as in `python -m experiments list`
    trials: int = 64  # in all, with those that there are already
    batch: int = 8  # trials that train together
    preset: str = exp.DEFAULT_PRESET  # where the values come from; robots: what suits the device
    config: Path | None = None  # take all values from this config.json, or the run folder of one
    study: str | None = None  # name of its folder; one that there is goes on. The time if unnamed
    resume: Path | None = None  # go on with the study of this folder, which keeps its values
    dry_run: bool = False  # only print values, memory and expected time
    runs_dir: Path = Path("runs")  # folder of the runs; studies go to tune_<experiment>/<study>
    machine: Annotated[Devices, arg(name="")] = field(default_factory=Devices)


def options(words: list[str]) -> tuple[type, Tune, RunConfig]:
    """Find what the words start from. -> the command's type, its default, and the values there."""
    name = words[0] if words and not words[0].startswith("-") else None
    experiment, preset, config = parsing.origin_of(name, words, BARE_RUN)
    _, values = parsing.with_grid_options(config)
    search_space.check_names(words, config)
    names = [field.name for field in fields(config.hparams)]
    searched = make_dataclass("Search", [(name, Bounds, ()) for name in names], frozen=True)
    searched.__doc__ = "Searched hyperparameters, and the bounds of each."
    grid: Any = Suppress[Any]  # type: ignore[misc]
    kind = parsing.of(
        RunConfig, type(values.env), type(values.algorithm), type(values.hparams), grid
    )
    default: Tune = Tune(values, searched(), Tuning(), experiment.name, preset=preset)
    return parsing.of(Tune, kind, searched), _kept(default, words), config


def _kept(default: Tune, words: list[str]) -> Tune:
    """Start from what the study of `--resume` was told."""
    origin, _ = parsing.parse_known(parsing.Origin, words, parsing.PROGRAM)
    if origin.resume is None:
        return default
    kept = _read(origin.resume)
    bounds = {name: tuple(values) for name, values in kept.pop("search").items()}
    search = type(default.search)(**bounds)
    return replace(default, search=search, tuning=exp.from_dict(Tuning(), kept))


def _read(folder: Path) -> dict[str, Any]:
    content = run_folder.read_json(folder / run_folder.CONFIG)
    if TUNING not in content:
        raise ValueError(f"{folder} is not the folder of a study of tune; use run --resume")
    return dict(content[TUNING])


def tune(words: list[str], began: float) -> int:
    """Search hyperparameters, or go on with it, or only print what would be trained. -> the exit
    code."""
    shared_study.check_installed()
    kind, default, origin = options(words)
    asked = parsing.parse(kind, words, f"{parsing.PROGRAM} tune {default.experiment}", default)
    deadline = set_up(asked.machine, began)
    asked = replace(asked, values=replace(asked.values, grid={}))
    bounds = {name: values for name, values in asdict(asked.search).items() if values}
    spans = search_space.spans(bounds, asked.tuning.log, asked.tuning.linear)
    setup = _prepare(asked, spans)
    if origin.grid:
        print(f"note: the preset's grid of {', '.join(origin.grid)} is left out")
    if asked.dry_run:
        print(describe(setup))
        return 0
    own = {"config": exp.to_dict(asked.values), "spec": run_setup.spec_record(setup)}
    told = exp.to_dict({**asdict(asked.tuning), "search": bounds})
    identity = run_setup.identity(setup) | own
    folder = _folder(asked, identity | {TUNING: told})
    prune_after = setup.schedule.epochs // 4 if asked.tuning.prune else None
    how = asked.tuning.minimize, asked.tuning.sampler, asked.values.seed, prune_after
    shared = SharedStudy(folder, shared_study.Plan(spans, asked.trials, *how))
    return _work(asked, setup, shared, identity, deadline) or _report(asked, shared, words)


def _prepare(asked: Tune, spans: list[search_space.Span]) -> RunSetup:
    """Validate everything that can be validated before compiling. -> the setup of a batch."""
    for name in ("trials", "batch"):
        ranges.check_number(name, getattr(asked, name), f"--{name}")
    ranges.check(asked.tuning)
    if asked.values.chunks or asked.values.chunk:
        raise ValueError("chunks: a batch of trials is one program; use a smaller --batch instead")
    experiment = find(asked.experiment)
    stand_in = search_space.stand_in(asked.values, spans, asked.batch)
    setup, warnings = run_setup.prepare(experiment, stand_in, asked.preset, asked.machine.devices)
    spec = setup.env.spec
    tuner.check_objective(_objective(asked), spec.num_goals, setup.schedule.epochs)
    warnings += search_space.check_ends(experiment, asked.values, spec, spans)
    for warning in dict.fromkeys(warnings):
        print(f"note: {warning}")
    return setup


def _objective(asked: Tune) -> tuner.Objective:
    told = asked.tuning
    return tuner.Objective(told.objective, told.last_epochs, told.stop_share)


def _folder(asked: Tune, identity: Mapping[str, Any]) -> Path:
    """Make the study's folder, or find the one that is named. Raises ValueError where that is of
    another study."""
    kind = f"tune_{asked.experiment}"
    if asked.resume is not None and asked.study is not None:
        raise ValueError("--resume names the study's folder; leave --study out")
    if asked.resume is None and asked.study is None:
        folder = run_folder.new_folder(asked.runs_dir, kind)
    else:
        folder = asked.resume or asked.runs_dir / kind / str(asked.study)
        run_folder.make_folder(folder)
    path = folder / run_folder.CONFIG
    if not path.exists():
        if asked.resume is not None:
            raise ValueError(f"{folder} is not a study's folder: it has no {run_folder.CONFIG}")
        run_folder.write_json(path, {**identity, **machine.environment_facts()})
        return folder
    kept = saved_agent.read_identity(path)
    saved = {name: kept[name] for name in identity if name in kept}
    config = saved_agent.config_of(find(kept["experiment"]), kept)
    saved["config"] = exp.to_dict(config)  # a field newer than the study has its default
    if found := exp.differences(saved, dict(identity)):
        raise ValueError(f"a study keeps its values: {'; '.join(found)}; name another with --study")
    return folder


def _work(
    asked: Tune,
    setup: RunSetup,
    shared: SharedStudy,
    identity: dict[str, Any],
    deadline: float | None,
) -> int:
    """Work at the study until nothing is left to ask for. -> the exit code."""
    reporter = Reporter()
    stop = Stop(reporter, deadline)
    reporter.say(f"{asked.experiment} [{asked.preset}] -> {shared.folder}")
    session = tuner.Session(shared, _objective(asked), asked.batch, reporter)
    try:
        with stop.listening():
            trainer = tuner.work(
                session,
                lambda: BatchTrainer(setup, reporter, stop),
                lambda: tuning_report.write_best(shared, identity, asked.values),
            )
    except (Interrupted, KeyboardInterrupt) as interrupted:
        go_on = f'make tune ARGS="--resume {shared.folder} --trials {asked.trials}"'
        reporter.say(f"{str(interrupted) or 'stopped at once'}; go on with: {go_on}")
        return terminal.INTERRUPTED
    finally:
        reporter.close()
    if trainer is not None:
        times = console.duration(trainer.train_seconds)
        print(f"compiled in {trainer.compile_seconds:.1f} s, trained in {times}")
    return 0


def _report(asked: Tune, shared: SharedStudy, words: list[str]) -> int:
    """Print the table of what all workers have found, and write it with the pictures. -> the exit
    code."""
    print(tuning_report.count_states(shared))
    if not shared.best():
        raise ValueError(f"no trial came to its end{shared.why_none()}")
    command = shlex.join([*parsing.PROGRAM.split(), "tune", *words])
    title = f"Tuning of {asked.experiment}"
    tuning_report.write(shared, asked.tuning.objective, title, command)
    heading, *rows = tuning_report.rows(shared, asked.tuning.objective)
    terminal.print_table(heading, rows)
    print(f"table and pictures: {shared.folder}")
    best = shared.folder / tuning_report.BEST
    print(f"train with the best values: {parsing.PROGRAM} run --config {best}")
    return 0
