"""One update of every method.

The paper's sizes: obs 27, action 8, batch 256, networks 256x2; DrAC's actors of the paper with both
estimators. Beside each time the multiplications and additions of its matrix products, which bound
it from below, and the memory that it takes beside what it is given and gives.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from drac_jax.algorithms.registry import METHODS, DiffusionOptions, DracOptions
from drac_jax.types import EnvSpec
from experiments.throughput import timing
from experiments.throughput.suites.drac_update import ACTION, BATCH, OBS, random_batch

SPEC = EnvSpec("random batches", OBS, ACTION, 1)
PAIRED = {
    "amortized": DracOptions(estimator="paired", num_samples=17),
    "diffusion": DiffusionOptions(estimator="paired", num_samples=17),
}
CONTENDERS: dict[str, tuple[str, Any]] = {
    f"{name}, {kind}" if kind else name: (name, options)
    for name, method in METHODS.items()
    for kind, options in (
        [("paired, 17", PAIRED[name]), ("all_pairs, 6", method.options)]
        if name in PAIRED
        else [("", method.options)]
    )
}


@dataclass(frozen=True)
class Options(timing.Options):
    """One update of every method.

    Example: python -m experiments bench methods --only sac dacer
    """

    only: tuple[str, ...] = tuple(CONTENDERS)  # methods and estimators, all if not named
    calls: int = 5  # updates per timed call


class Cost(NamedTuple):
    """What an update takes: billions of multiplications and additions, and MB of memory."""

    gflop: float
    megabytes: float


def contender(name: str, calls: int) -> tuple[timing.Contender, Cost]:
    """Make `calls` calls of a method's update on one fixed batch, and count what one update
    takes."""
    method_name, options = CONTENDERS[name]
    method = METHODS[method_name]
    algorithm = method.make(SPEC, options)
    agent = algorithm.init(jax.random.key(0), method.hparams, OBS)
    batch = random_batch(jax.random.key(1), (algorithm.num_minibatches, BATCH))
    keys = jax.random.split(jax.random.key(2), calls)
    updates = jax.jit(
        lambda agent, keys: jax.lax.scan(lambda a, k: algorithm.update(a, batch, k), agent, keys)
    )
    flops = matmul_flops(algorithm.update, agent, batch, keys[0]) / algorithm.num_minibatches
    program = updates.lower(agent, keys).compile()
    # Not every backend can say.
    taken = getattr(program.memory_analysis(), "temp_size_in_bytes", math.nan)
    units = calls * algorithm.num_minibatches
    return timing.Contender(name, lambda: program(agent, keys), units), Cost(
        flops / 1e9, taken / 1e6
    )


def matmul_flops(function: Callable, *arguments: Any) -> float:
    """Count the multiplications and additions of all matrix products, those of loops as often as
    they are taken (which XLA's own count leaves out)."""
    return _flops_of(jax.make_jaxpr(function)(*arguments).jaxpr)


def _flops_of(jaxpr: Any) -> float:
    total = 0.0
    for eqn in jaxpr.eqns:
        # A scan holds its body, a jitted or checkpointed function itself, among its parameters.
        inner = [getattr(value, "jaxpr", value) for value in eqn.params.values()]
        bodies = [body for body in inner if hasattr(body, "eqns")]
        total += sum(map(_flops_of, bodies)) * eqn.params.get("length", 1)
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            depth = math.prod(eqn.invars[0].aval.shape[axis] for axis in contracted)
            total += 2.0 * depth * math.prod(eqn.outvars[0].aval.shape)
    return total


def measure(options: Options) -> None:
    """Run the suite."""
    timing.check_names("--only", options.only, CONTENDERS)
    timing.pin(options.one_core)
    made = [contender(name, options.calls) for name in options.only]
    timings = timing.side_by_side([each for each, _ in made], options.repeats)
    costs = {t.name: cost for t, (_, cost) in zip(timings, made, strict=True)}
    text = (
        f"One update, float32, obs {OBS}, action {ACTION}, batch 256, networks 256x2, "
        f"{timing.cores()} core(s).\n\n{table(timings, costs)}"
    )
    timing.report_suite(
        options.out,
        "methods",
        timings,
        text,
        {"costs": {name: cost._asdict() for name, cost in costs.items()}},
    )


def table(timings: list[timing.Timing], costs: dict[str, Cost]) -> str:
    """Format timings beside costs as a Markdown table."""
    lines = [
        "| method | median ms | min - max | GFLOP | GFLOP/s | MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for t in timings:
        low, high, cost = min(t.seconds) * 1e3, max(t.seconds) * 1e3, costs[t.name]
        lines.append(
            f"| {t.name} | {t.median * 1e3:.1f} | {low:.1f} - {high:.1f} | {cost.gflop:.2f} | "
            f"{cost.gflop / t.median:.0f} | {cost.megabytes:.1f} |"
        )
    return "\n".join(lines)
