"""SAC on one of Brax's environments: ours beside the trainers of Brax and of Rejax.

The same environment, backend and sizes for all: 64 environments, 16 updates of batch 256 after each
step of all of them, networks 256x2. What they do around it is their own. Brax's and our
environments start again from a state that was reset before; Rejax resets all of them in every step
and takes the new state where an episode ended. Brax draws the 16 minibatches at once.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import envs
from drac_jax.runs.setup.experiment import Experiment
from experiments import find
from experiments.throughput import timing
from experiments.throughput.contenders.contender_process import ContenderProcess
from experiments.throughput.suites.training.iteration import epoch, shortened

CONTENDERS = Path(__file__).parents[2] / "contenders"
NUM_ENVS, UPDATES = 64, 16


def experiment_of(name: str) -> Experiment:
    """Make the experiment of SAC on `brax:<name>`. Raises ValueError for one that there is not."""
    env = envs.make(f"brax:{name}")
    base = find("hopper_sac")
    return replace(base, name=f"{env.spec.name}_sac", make_env=lambda options, obstacles: env)


def ours(name: str, iterations: int) -> timing.Contender:
    """Make whole iterations of ours; a unit is one env step."""
    experiment = experiment_of(name)
    base = experiment.config("default")
    target = -float(experiment.make_env(base.env, False).spec.action_size)
    setup = shortened(
        experiment,
        "default",
        iterations,
        hparams=base.hparams.replace(target_entropy=target),
        train=replace(base.train, num_envs=NUM_ENVS, updates_per_iteration=UPDATES),
    )
    made = epoch("drac_jax sac", setup)
    return timing.Contender(made.name, made.call, made.units * NUM_ENVS)


def processes(name: str, rejax_python: str | None, iterations: int) -> dict[str, Callable]:
    """Name the contenders of other libraries, with how each is started."""
    words = [f"--env={name}", f"--num-envs={NUM_ENVS}", f"--updates={UPDATES}"]
    words.append(f"--iterations={iterations}")
    brax, rejax = (str(CONTENDERS / f"{library}_sac.py") for library in ("brax", "rejax"))
    return {
        "Brax sac": partial(ContenderProcess, sys.executable, [brax, *words]),
        "Rejax sac": partial(
            ContenderProcess, rejax_python, [rejax, *words], option="--rejax-python"
        ),
    }


def measure(
    folder: Path, name: str, rejax_python: str | None, iterations: int, repeats: int
) -> None:
    """Time env steps with their updates, side by side, and write the table and the record."""
    made = [ours(name, iterations)]
    facts, running = {}, []
    try:
        for title, start in processes(name, rejax_python, iterations).items():
            try:
                process = start()
                facts[title] = process.read()["versions"]
            except ValueError as error:
                facts[title] = f"left out: {error}"
                continue
            running.append(process)
            made.append(timing.Contender(title, process.measure))
        timings = timing.side_by_side(made, repeats)
    finally:
        for process in running:
            process.close()
    lines = [
        f"SAC on brax:{name}, one env step with its share of the updates: {NUM_ENVS} environments, "
        f"{UPDATES} updates of batch 256 after each step of all, networks 256x2, float32, "
        f"{timing.cores()} core(s).",
        "",
        timing.table(timings, "us", 1e6),
        "",
        *(f"{title}: {fact}." for title, fact in facts.items()),
        *(f"{t.name}: {1 / t.median:,.0f} env steps/s." for t in timings),
    ]
    suite = f"end_to_end_brax_{name}"
    timing.report_suite(folder, suite, timings, "\n".join(lines), {"facts": facts})
