"""The command `compare`: the methods of one domain, trained and put side by side."""

import argparse
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from drac_jax.algorithms.registry import METHODS
from drac_jax.figures import method_table
from drac_jax.runs import comparison, saved_run
from drac_jax.runs.execution.stopping import Interrupted
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.dry_run import describe
from drac_jax.runs.setup.experiment import DEFAULT_PRESET, Experiment, RunConfig
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import run_folder, run_lock
from drac_jax.runs.storage.console import Reporter
from experiments import EXPERIMENTS, find
from experiments.cli import exits
from experiments.cli.options import GRID, parse

NO_TERMINAL_WIDTH = 1_000  # characters: no cell of a table is broken
Option = list[str]  # a word that starts with two dashes, and its values


class Plan(NamedTuple):
    """What compare.json keeps: the words that the comparison was asked for with."""

    domain: str
    algos: list[str]
    preset: str
    words: list[str]

    def command(self) -> str:
        """Write the command that makes this comparison."""
        words = [self.domain, "--algos", *self.algos, "--preset", self.preset, *self.words]
        return f"python -m experiments compare {shlex.join(words)}"


def compare(args: argparse.Namespace, words: list[str]) -> int:
    """Train every method with all its seeds, and make one table and one picture of them."""
    plan = _kept(args, words) if args.resume else _asked(args, words)
    experiments = {algo: find(f"{plan.domain}_{algo}") for algo in plan.algos}
    configs = _configs(plan, experiments, args.resume)
    todo = [a for a in plan.algos if not (args.resume and comparison.is_finished(args.resume / a))]
    prepared = _prepare({a: experiments[a] for a in todo}, configs, args.devices)
    if args.dry_run:
        print(
            "\n\n".join(describe(setup) for setup in prepared.values())
            or "nothing is left to train"
        )
        return 0
    folder = args.resume or run_folder.new_folder(args.runs_dir, f"compare_{plan.domain}")
    reporter = Reporter()
    try:
        with run_lock.held(folder):
            run_folder.write_json(folder / comparison.COMPARISON, plan._asdict())
            broken = comparison.train(prepared, folder, reporter, args.deadline)
            results = comparison.read(folder, plan.algos)
            if not results:
                raise ValueError(f"no method came to its end; {'; '.join(broken.values())}")
            reporter.busy("drawing")
            comparison.write_table(results, plan.domain, plan.command(), folder)
            first = plan.algos[0]
            scene = experiments[first].make_env(configs[first][0].env, False).spec.scene
            comparison.draw(results, plan.domain, scene, folder)
    except (Interrupted, KeyboardInterrupt) as stop:
        go_on = f'make compare ARGS="--resume {folder}"'
        reporter.say(f"{str(stop) or 'stopped at once'}; go on with: {go_on}")
        return exits.INTERRUPTED
    finally:
        reporter.close()
    _print_table(results)
    for name, why in broken.items():
        print(f"note: {name} broke down and is not in the table: {why}")
    print(f"table and pictures: {folder}")
    return exits.BAD_INPUT if broken else 0


def _asked(args: argparse.Namespace, words: list[str]) -> Plan:
    """Make the plan of a new comparison; of all methods of the domain where none is named."""
    if args.name is None:
        usage = "python -m experiments compare DOMAIN --algos ALGO ALGO"
        raise ValueError(f"compare needs a domain, as multigoal is one: {usage}")
    algos = args.algos or [name for name in METHODS if f"{args.name}_{name}" in EXPERIMENTS]
    if not algos:
        find(args.name)  # raises, with the nearest names
        raise ValueError(f"{args.name} is an experiment, not a domain; leave its method out")
    if twice := [algo for algo in algos if algos.count(algo) > 1]:
        raise ValueError(f"algos: {twice[0]} is named twice; compare different methods")
    return Plan(args.name, algos, args.preset or DEFAULT_PRESET, words)


def _kept(args: argparse.Namespace, words: list[str]) -> Plan:
    """Read the plan of a comparison; what is asked besides must agree with it."""
    kept = Plan(**run_folder.read_json(args.resume / comparison.COMPARISON))
    asked = Plan(args.name, args.algos, args.preset, words)
    for name, value in asked._asdict().items():
        if value and value != getattr(kept, name):
            raise ValueError(
                f"a resumed comparison keeps its {name}: {getattr(kept, name)}, not {value}; "
                f"start a new one"
            )
    return kept


def _configs(
    plan: Plan, experiments: Mapping[str, Experiment], folder: Path | None
) -> dict[str, tuple[RunConfig, str]]:
    """Settle every method's values and name its preset; a method that was begun keeps its own."""
    identities = {
        algo: saved_run.read_identity(folder / algo)
        for algo in plan.algos
        if folder and (folder / algo / run_folder.CONFIG).exists()
    }
    new = {algo: experiments[algo] for algo in plan.algos if algo not in identities}
    settled = {algo: (config, plan.preset) for algo, config in _parse(plan, new).items()}
    for algo, identity in identities.items():
        settled[algo] = saved_run.config_of(experiments[algo], identity), identity["preset"]
    task = exp.to_dict(settled[plan.algos[0]][0].env)
    for algo, (config, _) in settled.items():
        if found := exp.differences(task, exp.to_dict(config.env), "env"):
            raise ValueError(f"{algo} would play another task: {'; '.join(found)}; say it for all")
    return settled


@contextmanager
def _naming(experiment: Experiment) -> Iterator[None]:
    """Let errors name the experiment that they are of."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{experiment.name}: {error}") from None


def _prepare(
    experiments: Mapping[str, Experiment],
    configs: Mapping[str, tuple[RunConfig, str]],
    num_devices: int | None,
) -> dict[str, RunSetup]:
    """Validate every method's values; warnings are printed when all are."""
    prepared, notes = {}, []
    for algo, experiment in experiments.items():
        with _naming(experiment):
            prepared[algo], warnings = run_setup.prepare(experiment, *configs[algo], num_devices)
        notes += [f"note: {experiment.name}: {warning}" for warning in warnings]
    print(*notes, sep="\n", end="\n" if notes else "")
    return prepared


def _parse(plan: Plan, experiments: Mapping[str, Experiment]) -> dict[str, RunConfig]:
    """Override the presets' values by the words: those for all methods, then those for one."""
    shared, own = _by_method(plan.words, plan.algos)
    configs = {}
    for algo, experiment in experiments.items():
        prog = f"python -m experiments run {experiment.name}"
        with _naming(experiment):
            default = experiment.config(plan.preset)
            try:
                config = parse(default, sum(shared, []), prog)
            except ValueError as error:
                raise ValueError(_advice(plan, algo, shared) or str(error)) from None
            configs[algo] = parse(config, sum(own[algo], []), prog)
    return configs


def _by_method(words: list[str], algos: list[str]) -> tuple[list[Option], dict[str, list[Option]]]:
    """Part the options into those for all methods and those for one, `--<algo>.<value>`."""
    shared: list[Option] = []
    own: dict[str, list[Option]] = {algo: [] for algo in algos}
    parts = {field.name for field in fields(RunConfig)}
    for word, *values in _options(words):
        head, dot, rest = word.removeprefix("--").partition(".")
        head = head if head in own else head.replace("-", "_")
        if word.startswith(GRID) or dot and rest.startswith(GRID.removeprefix("--")):
            raise ValueError(f"{word}: a comparison has one row per method; use sweep for a grid")
        if dot and head in own:
            own[head].append([f"--{rest}", *values])
        elif dot and head not in parts:
            raise ValueError(f"{word}: {head} is not compared; it is {', '.join(algos)}")
        else:
            shared.append([word, *values])
    return shared, own


def _options(words: list[str]) -> list[Option]:
    """Group words by the options that they belong to."""
    groups: list[Option] = []
    for word in words:
        if word.startswith("--"):
            groups.append([word])
        elif groups:
            groups[-1].append(word)
        else:
            raise ValueError(f"{word!r} is not an option; name methods with --algos")
    return groups


def _advice(plan: Plan, algo: str, shared: list[Option]) -> str:
    """Find the value for all that this method does not take and others do. -> what to say
    instead, or nothing."""
    for option in shared:
        having = [other for other in plan.algos if _takes(plan, other, option)]
        if having and algo not in having:
            word, *values = option
            instead = (" ".join([f"--{name}.{word[2:]}", *values]) for name in having)
            return f"it does not take {' '.join(option)}; say instead {' '.join(instead)}"
    return ""


def _takes(plan: Plan, algo: str, option: Option) -> bool:
    try:
        parse(find(f"{plan.domain}_{algo}").config(plan.preset), option, "")
    except ValueError:
        return False
    return True


def _print_table(results: Mapping[str, Any]) -> None:
    """Print the table, on a terminal as wide as that and elsewhere as wide as it needs."""
    seeds = method_table.by_setting({name: r.seeds for name, r in results.items()})
    heading, *rows = method_table.table(seeds)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, title in enumerate(heading):
        table.add_column(title, justify="right" if column else "left")
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = NO_TERMINAL_WIDTH
    console.print(table)
    console.print(method_table.CAPTION)
