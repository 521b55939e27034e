"""The command `compare`: the methods of one domain, trained and put side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, Suppress, arg

from drac_jax.figures import method_table
from drac_jax.runs import comparison
from drac_jax.runs.execution.stopping import Interrupted
from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.dry_run import describe
from drac_jax.runs.setup.experiment import DEFAULT_PRESET, Experiment, RunConfig
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import run_folder, run_lock
from drac_jax.runs.storage.console import Reporter
from experiments import find, find_on, methods_on
from experiments.cli import terminal
from experiments.cli.options import env_words, method_values, parsing
from experiments.cli.options.machine_options import Devices, set_up
from experiments.cli.options.method_values import Plan


@dataclass(frozen=True)
class CompareOptions(Devices):
    """What a comparison is told besides the values of its methods' runs."""

    algos: tuple[str, ...] | None = None  # the methods; all of the domain where none is named
    preset: str | None = None  # where the values come from: paper, default or fast
    resume: Path | None = None  # go on with the comparison in this folder
    dry_run: bool = False  # only print values, memory and expected time
    runs_dir: Path = Path("runs")  # folder of the runs; this one goes to compare_<domain>/<time>


@dataclass(frozen=True, kw_only=True)
class Compare[Values](CompareOptions):
    """Train methods side by side: one table, and one picture of their episodes.

    The values below go to all methods, and their defaults are those of the first. A value for one
    method has its name in front: --sac.hparams.tau 0.01

    Example: python -m experiments compare multigoal --algos amortized sac --seeds 5
    """

    domain: Positional[str] = ""  # what all methods play, as `multigoal`, or brax:ant
    values: Annotated[Values, arg(name="")]


def compare_options(domain: str, preset: str | None) -> tuple[type, Compare]:
    """-> the type and the default of all options of `compare`, for its help."""
    method = next(iter(methods_on(domain)), "amortized")
    experiment = find_on(domain if methods_on(domain) else "multigoal", method)
    _, values = parsing.with_grid_options(experiment.config(preset or DEFAULT_PRESET))
    grid: Any = Suppress[Any]  # type: ignore[misc]
    kind = parsing.of(
        RunConfig, type(values.env), type(values.algorithm), type(values.hparams), grid
    )
    default: Compare = Compare(domain=domain, preset=preset, values=values)
    return parsing.of(Compare, kind), default


def compare(words: list[str], began: float) -> int:
    """Train every method with all its seeds, and make one table and one picture of them. -> the
    exit code."""
    domain, rest = env_words.take_domain(words)
    asked, rest = parsing.parse_known(CompareOptions, rest, f"{parsing.PROGRAM} compare")
    if {"-h", "--help"} & set(rest):
        kind, default = compare_options(domain, asked.preset)
        parsing.parse(kind, ["--help"], f"{parsing.PROGRAM} compare", default)
    deadline = set_up(asked, began)
    plan = (_kept if asked.resume else _asked)(domain, asked, rest)
    experiments = {algo: parsing.fit(find_on(plan.domain, algo), plan.words) for algo in plan.algos}
    configs = method_values.settle(plan, experiments, asked.resume)
    todo = [
        a for a in plan.algos if not (asked.resume and comparison.is_finished(asked.resume / a))
    ]
    prepared = _prepare({a: experiments[a] for a in todo}, configs, asked.devices)
    if asked.dry_run:
        print("\n\n".join(map(describe, prepared.values())) or "nothing is left to train")
        return 0
    folder = asked.resume or run_folder.new_folder(asked.runs_dir, f"compare_{plan.domain}")
    reporter = Reporter()
    try:
        with run_lock.held(folder):
            run_folder.write_json(folder / comparison.COMPARISON, plan._asdict())
            broken = comparison.train(prepared, folder, reporter, deadline)
            results = _write(plan, experiments, configs, folder, broken, reporter)
    except (Interrupted, KeyboardInterrupt) as stop:
        go_on = f'make compare ARGS="--resume {folder}"'
        reporter.say(f"{str(stop) or 'stopped at once'}; go on with: {go_on}")
        return terminal.INTERRUPTED
    finally:
        reporter.close()
    seeds = method_table.by_setting({name: r.seeds for name, r in results.items()})
    heading, *rows = method_table.table(seeds)
    terminal.print_table(heading, rows, first="left")
    print(method_table.CAPTION)
    for name, why in broken.items():
        print(f"note: {name} broke down and is not in the table: {why}")
    print(f"table and pictures: {folder}")
    return terminal.BAD_INPUT if broken else 0


def _write(
    plan: Plan,
    experiments: Mapping[str, Experiment],
    configs: Mapping[str, tuple[RunConfig, str]],
    folder: Path,
    broken: Mapping[str, str],
    reporter: Reporter,
) -> dict[str, comparison.Result]:
    """Write the table and draw the pictures of what the methods left. -> their results."""
    results = comparison.read(folder, plan.algos)
    if not results:
        raise ValueError(f"no method came to its end; {'; '.join(broken.values())}")
    reporter.busy("drawing")
    comparison.write_table(results, plan.domain, plan.command(), folder)
    first = plan.algos[0]
    scene = experiments[first].make_env(configs[first][0].env, False).spec.scene
    comparison.draw(results, plan.domain, scene, folder)
    return results


def _asked(domain: str, asked: CompareOptions, words: list[str]) -> Plan:
    """Make the plan of a new comparison; of all methods of the domain where none is named."""
    if not domain:
        usage = f"{parsing.PROGRAM} compare DOMAIN --algos ALGO ALGO"
        raise ValueError(f"compare needs a domain, as multigoal is one: {usage}")
    if asked.algos == ():
        raise ValueError("--algos names no method; give at least one, or leave it out for all")
    algos = [*(asked.algos or methods_on(domain))]
    if not algos:
        find(domain)  # raises, with the nearest names
        raise ValueError(f"{domain} is an experiment, not a domain; leave its method out")
    if twice := [algo for algo in algos if algos.count(algo) > 1]:
        raise ValueError(f"algos: {twice[0]} is named twice; compare different methods")
    about_devices = words if asked.devices is None else ["--devices"]
    preset = parsing.preset_for(find_on(domain, algos[0]), about_devices)
    return Plan(domain, algos, asked.preset or preset, words)


def _kept(domain: str, options: CompareOptions, words: list[str]) -> Plan:
    """Read the plan of a comparison; what is asked besides must agree with it."""
    kept = Plan(**run_folder.read_json((options.resume or Path()) / comparison.COMPARISON))
    algos = list(options.algos or ())
    asked = {"domain": domain, "algos": algos, "preset": options.preset, "words": words}
    for name, value in asked.items():
        if value and value != getattr(kept, name):
            raise ValueError(
                f"a resumed comparison keeps its {name}: {getattr(kept, name)}, not {value}; "
                f"start a new one"
            )
    return kept


def _prepare(
    experiments: Mapping[str, Experiment],
    configs: Mapping[str, tuple[RunConfig, str]],
    num_devices: int | None,
) -> dict[str, RunSetup]:
    """Validate every method's values; warnings are printed when all are."""
    prepared, notes = {}, []
    for algo, experiment in experiments.items():
        with method_values.naming(experiment):
            prepared[algo], warnings = run_setup.prepare(experiment, *configs[algo], num_devices)
        notes += [f"note: {experiment.name}: {warning}" for warning in warnings]
    print(*notes, sep="\n", end="\n" if notes else "")
    return prepared
