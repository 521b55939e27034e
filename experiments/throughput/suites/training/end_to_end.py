"""Whole training, env steps and updates together, beside PyTorch's on the same core.

Ours: the paper's loop on C MuJoCo, one environment and one update per env step, compiled whole; and
the preset `cpu`, 16 environments and a quarter as many updates. PyTorch's: the same loop as most
public implementations write it, Gymnasium and eager updates (`contenders/torch_loop.py`). With
`--target-return` all train from scratch until they have it, instead; with `--brax-env` SAC is timed
beside the trainers of Brax and Rejax.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import find
from experiments.throughput import timing
from experiments.throughput.contenders.contender_process import ContenderProcess
from experiments.throughput.suites.training import from_scratch, jax_trainers
from experiments.throughput.suites.training.iteration import epoch, short_setup

SCRIPT = Path(__file__).parents[2] / "contenders" / "torch_loop.py"
METHODS = {"drac": "amortized", "sac": "sac"}  # PyTorch's name -> ours
PRESETS = ("paper", "cpu", "default")


@dataclass(frozen=True)
class Options(timing.Options):
    """Whole training, env steps and updates together, beside PyTorch's on the same core.

    Example: python -m experiments bench end_to_end --one-core --torch-python torch/bin/python

    Until a return: --target-return 300 --minutes 10. Beside JAX's trainers: --brax-env hopper
    """

    torch_python: str | None = None  # an interpreter that has torch and gymnasium[mujoco]
    task: str = "Hopper"  # of Gymnasium
    iterations: int = 100  # per timed call
    methods: tuple[str, ...] = ("drac", "sac")  # trained by both
    presets: tuple[str, ...] = ("paper", "cpu")  # of ours
    target_return: float | None = None  # train from scratch until the mean return of ten episodes
    minutes: float = 10.0  # at most, of each training until the return
    seeds: int = 1  # of each training until the return
    brax_env: str | None = None  # SAC on this one of Brax, beside Brax's and Rejax's, instead
    rejax_python: str | None = None  # an interpreter that has rejax and brax


def ours(task: str, method: str, preset: str, iterations: int) -> timing.Contender:
    """Make whole iterations of a preset; a unit is one env step."""
    setup = short_setup(f"{task.lower()}_{method}", preset, iterations)
    title = f"{method}, {preset}: {setup.config.train.num_envs} environment(s)"
    made = epoch(title, setup)
    return timing.Contender(title, made.call, made.units * setup.config.train.num_envs)


def theirs(options: Options) -> tuple[list[timing.Contender], list[Any], dict[str, str]]:
    """Start PyTorch's loops. -> those that are ready, their processes, and why the others are
    not."""
    made, processes, facts = [], [], {}
    for method in options.methods:
        words = [str(SCRIPT), f"--method={method}", f"--env={options.task}-v4"]
        words += [f"--updates={options.iterations}", f"--threads={timing.cores()}"]
        try:
            process = ContenderProcess(options.torch_python, words)
            facts["torch"] = process.read()["torch"]
        except ValueError as error:
            facts[f"PyTorch {method}"] = str(error)
            continue
        processes.append(process)
        made.append(timing.Contender(f"PyTorch {method}, eager", process.measure))
    return made, processes, facts


def until_return(options: Options, target: float) -> None:
    """Train all from scratch until they have the return."""
    if options.minutes <= 0 or options.seeds < 1:
        raise ValueError(
            f"--minutes {options.minutes:g} --seeds {options.seeds}: both must be above 0"
        )
    starts = {}
    for method in options.methods:
        name = f"{options.task.lower()}_{METHODS[method]}"
        find(name)  # or it says which there are
        for preset in options.presets:
            starts[f"{METHODS[method]}, {preset}"] = from_scratch.ours(name, preset)
        starts[f"PyTorch {method}, eager"] = from_scratch.theirs(
            options.torch_python, SCRIPT, method, f"{options.task}-v4"
        )
    suite = f"end_to_end_return_{'_'.join(options.methods)}"
    goal = from_scratch.Goal(target, options.minutes, options.seeds)
    from_scratch.run(options.out, suite, f"{options.task}-v4", starts, goal)


def measure(options: Options) -> None:
    """Run the suite."""
    timing.check_names("--methods", options.methods, METHODS)
    timing.check_names("--presets", options.presets, PRESETS)
    if options.brax_env is not None and options.target_return is not None:
        raise ValueError("--brax-env and --target-return are two measurements; give one of them")
    timing.pin(options.one_core)
    if options.brax_env is not None:
        jax_trainers.measure(
            options.out,
            options.brax_env,
            options.rejax_python,
            options.iterations,
            options.repeats,
        )
    elif options.target_return is not None:
        until_return(options, options.target_return)
    else:
        one_step(options)


def one_step(options: Options) -> None:
    """Time env steps with their updates, side by side."""
    beside, processes, facts = theirs(options)
    made = [
        ours(options.task, METHODS[method], preset, options.iterations)
        for method in options.methods
        for preset in options.presets
    ]
    try:
        timings = timing.side_by_side(made + beside, options.repeats)
    finally:
        for process in processes:
            process.close()
    lines = [
        f"{options.task}-v4, one env step with its updates, batch 256, networks 256x2, float32, "
        f"{timing.cores()} core(s); PyTorch {facts.get('torch', 'absent')}.",
        "",
        timing.table(timings),
        "",
        *(f"Left out: {name} ({why})." for name, why in facts.items() if name != "torch"),
        *(f"{t.name}: {1 / t.median:,.0f} env steps/s." for t in timings),
    ]
    timing.report_suite(options.out, "end_to_end", timings, "\n".join(lines), {"facts": facts})
