"""The commands `run` and `sweep`: train an experiment, or resume a run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from drac_jax.runs import chunks
from drac_jax.runs.execution import showing
from drac_jax.runs.execution.runner import Run
from drac_jax.runs.execution.stopping import Interrupted
from drac_jax.runs.hardware import hosts
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup import segments
from drac_jax.runs.setup.dry_run import describe
from drac_jax.runs.setup.experiment import Experiment, RunConfig
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import run_folder, run_lock
from drac_jax.runs.storage.console import Reporter
from experiments import find
from experiments.cli import films, terminal
from experiments.cli.options import env_words, parsing
from experiments.cli.options.machine_options import Machine, set_up
from experiments.tasks import any_environment

BARE_RUN = "multigoal_amortized"


@dataclass(frozen=True)
class Train[Values]:
    """Train one experiment, all its seeds at once.

    The values below are those of the experiment and the preset that the command names.

    Example: python -m experiments run pointmaze_simple_amortized --preset fast --seeds 3
    Any environment: python -m experiments run amortized --env brax:ant
    """

    values: Annotated[Values, arg(name="")]
    # Its name, as in `python -m experiments list`; or a method's, and --env NAME what it plays:
    # brax:ant, gymnasium:Pendulum-v1, my_file.py, my.module:function.
    experiment: Positional[str] = BARE_RUN
    preset: str = exp.DEFAULT_PRESET  # where the values come from; robots: what suits the device
    config: Path | None = None  # take all values from this config.json, or the run folder of one
    # Go on with the run of this folder, which keeps its values; but --train.env-steps may grow, and
    # --hparams change.
    resume: Path | None = None
    dry_run: bool = False  # only print values, memory and expected time
    runs_dir: Path = Path("runs")  # folder of the runs; this one goes to <experiment>/<time>
    wandb: str | None = None  # log to this project of Weights & Biases
    tensorboard: bool = False  # write event files for TensorBoard into the run's folder
    video_epochs: tuple[int, ...] = ()  # after these, write an mp4 of an episode to videos/
    video_every: int | None = None  # the same after every so many epochs
    machine: Annotated[Machine, arg(name="")] = field(default_factory=Machine)


@dataclass(frozen=True)
class Sweep[Values](Train[Values]):
    """Train an experiment at several values of its hyperparameters, in one program.

    Example: python -m experiments sweep --grid.beta 0.5 0.6 0.7 --seeds 4
    """


def options(command: type[Train], words: list[str]) -> tuple[type, Train, RunConfig]:
    """Find what the words start from. -> the command's type, its default, and the values there."""
    name = words[0] if words and not words[0].startswith("-") else None
    experiment, preset, config = parsing.origin_of(name, words, BARE_RUN)
    kind, values = parsing.with_grid_options(config)
    return parsing.of(command, kind), command(values, experiment.name, preset), config


def run(words: list[str], began: float, command: type[Train] = Train) -> int:
    """Train, or resume a run, or only print what would be trained. -> the exit code."""
    words = env_words.settle(words)
    if any_env := words[:1] and any_environment.is_of_any(words[0]):
        # It is made before all options are known, and no array may be before the devices are.
        deadline = set_up(parsing.parse_known(Machine, words, parsing.PROGRAM)[0], began)
    kind, default, origin = options(command, words)
    name = "sweep" if command is Sweep else "run"
    asked = parsing.parse(kind, words, f"{parsing.PROGRAM} {name} {default.experiment}", default)
    if not any_env:
        deadline = set_up(asked.machine, began)
    config = parsing.from_grid_options(asked.values, origin.grid)
    experiment = find(default.experiment)
    notes: list[str] = []
    if asked.resume:
        config, notes = segments.extend(experiment, origin, config)
    if command is Sweep and not config.grid:
        raise ValueError("grid is empty: sweep needs --grid.NAME VALUE VALUE; or use run")
    prepared, warnings = chunks.prepare(experiment, config, default.preset, asked.machine.devices)
    if asked.resume:
        prepared = [setup._replace(former=(origin,)) for setup in prepared]
    if experiment.suited and not parsing.names_origin(words):
        others = ", ".join(p for p in experiment.presets if p != default.preset)
        print(f"note: preset {default.preset}, which suits this device; others: {others}")
    for warning in notes + warnings:
        print(f"note: {warning}")
    if asked.dry_run:
        print("\n\n".join(describe(setup) for setup in prepared))
        return 0
    shown, warnings = films.settle(asked, prepared[0])
    for warning in warnings:
        print(f"note: {warning}")
    return _train(experiment, prepared, asked, shown, deadline)


def sweep(words: list[str], began: float) -> int:
    """Train a grid of hyperparameters. -> the exit code."""
    return run(words, began, Sweep)


def _train(
    experiment: Experiment,
    prepared: list[RunSetup],
    asked: Any,
    shown: showing.Asked,
    deadline: float | None,
) -> int:
    folder = asked.resume or Path(
        hosts.from_first(
            lambda: str(run_folder.new_folder(asked.runs_dir, experiment.name).absolute())
        )
    )
    reporter = Reporter(asked.wandb if hosts.is_first() else None)
    reporter.say(f"{experiment.name} [{prepared[0].preset}] -> {folder}")
    try:
        with run_lock.held(folder):
            if len(prepared) > 1:
                summary = chunks.train(prepared, folder, reporter, deadline, shown)
            else:
                one = Run(prepared[0], folder, reporter, deadline, shown)
                summary = one.resume() if asked.resume else one.start()
    except Interrupted as stop:
        reporter.say(f'{stop}; go on with: make run ARGS="--resume {folder}"')
        return terminal.INTERRUPTED
    finally:
        reporter.close()
    terminal.print_results(summary["seeds"])
    terminal.print_outcome(folder, summary["timings"])
    return 0
