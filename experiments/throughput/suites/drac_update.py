"""One DrAC update: both estimators and precisions, and PyTorch of the same mathematics.

The paper's sizes unless told otherwise: obs 27, action 8, batch 256, networks 256x2, latent 16.
The JAX layer multiplies the observation part of the first layer once for all samples of a state;
PyTorch concatenates. PyTorch's contenders run in processes of their own, idle between their turns;
one that cannot run is left out and named.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from drac_jax.algorithms import DracHParams
from drac_jax.algorithms.registry import DracOptions, make_amortized
from drac_jax.diversity.distance import Diversity, all_pairs, paired
from drac_jax.networks.mlp import Precision
from drac_jax.types import EnvSpec, Transition
from experiments.throughput import timing
from experiments.throughput.contenders.contender_process import ContenderProcess

OBS, ACTION, BATCH = 27, 8, 256
VARIANCE_STATES = 20_000
TORCH_SCRIPT = Path(__file__).parents[1] / "contenders" / "torch_update.py"
# glibc fetches and clears pages anew in every update unless it is told to keep them.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "-1", "MALLOC_MMAP_MAX_": "0"}
# Variant, precision, and what its process is given.
TORCH: dict[str, tuple[str, Precision, dict[str, str]]] = {
    "PyTorch eager, paired": ("eager", "float32", {}),
    "PyTorch eager, paired, memory kept": ("eager", "float32", KEEP_MEMORY),
    "PyTorch compiled, paired, memory kept": ("compiled", "float32", KEEP_MEMORY),
    "PyTorch eager, paired, tf32": ("eager", "tf32", {}),
    "PyTorch CUDA graph, paired": ("graph", "float32", {}),
    "PyTorch CUDA graph, paired, tf32": ("graph", "tf32", {}),
}
ESTIMATORS = {
    "paired, 17": DracOptions(estimator="paired", num_samples=17),
    "all_pairs, 6": DracOptions(),
}
CONTENDERS: list[tuple[str, Precision]] = [
    ("paired, 17", "float32"),
    ("all_pairs, 6", "float32"),
    ("all_pairs, 6", "bfloat16"),
]
# Where TF32 is not float32.
ON_GPU: list[tuple[str, Precision]] = [
    ("paired, 17", "tf32"),
    ("paired, 17", "bfloat16"),
    ("all_pairs, 6", "tf32"),
]


@dataclass(frozen=True)
class Options(timing.Options):
    """One DrAC update: both estimators and precisions, and PyTorch of the same mathematics.

    Example: python -m experiments bench update --one-core --repeats 10
    """

    torch_python: str | None = None  # an interpreter that has torch
    batch: int = BATCH  # transitions of an update
    hidden: tuple[int, ...] = (256, 256)  # sizes of the hidden layers
    calls: int = 10  # updates per timed call
    unroll: int = 1  # updates in one turn of the loop


def contender(estimator: str, precision: Precision, options: Options) -> timing.Contender:
    """Make updates of a diversity estimator on one fixed batch, in one scan as training runs
    them."""
    hidden = options.hidden
    chosen = replace(ESTIMATORS[estimator], precision=precision, hidden=hidden)
    algorithm = make_amortized(EnvSpec("random batches", OBS, ACTION, 1), chosen)
    agent = algorithm.init(jax.random.key(0), DracHParams(), OBS)
    batch = random_batch(jax.random.key(1), (1, options.batch))

    def scan(agent: Any, keys: jax.Array) -> Any:
        return jax.lax.scan(
            lambda a, key: algorithm.update(a, batch, key), agent, keys, unroll=options.unroll
        )

    compiled = jax.jit(scan)
    keys = jax.random.split(jax.random.key(2), options.calls)
    return timing.Contender(
        f"{estimator}, {precision}", lambda: compiled(agent, keys), options.calls
    )


def random_batch(
    key: jax.Array, shape: tuple[int, int], obs_size: int = OBS, action_size: int = ACTION
) -> Transition:
    """Draw minibatches [M, B, ...]. shape: (M, B)."""
    obs_key, action_key, reward_key, next_key = jax.random.split(key, 4)
    return Transition(
        obs=jax.random.normal(obs_key, (*shape, obs_size)),
        action=jax.random.uniform(action_key, (*shape, action_size), minval=-1.0),
        reward=jax.random.normal(reward_key, shape),
        discount=jnp.ones(shape),
        next_obs=jax.random.normal(next_key, (*shape, obs_size)),
    )


def variance_of_d(diversity: Diversity, action_size: int) -> float:
    """Measure the variance of D over its samples, for a uniform policy."""
    shape = (diversity.num_samples, VARIANCE_STATES, action_size)
    actions = jax.random.uniform(jax.random.key(0), shape, minval=-1.0)
    return float(jax.jit(diversity.estimate)(actions).var())


def _start(name: str, options: Options) -> ContenderProcess:
    variant, precision, env = TORCH[name]
    sizes = {
        "obs-size": OBS,
        "action-size": ACTION,
        "batch": options.batch,
        "updates": options.calls,
        "threads": timing.cores(),
    }
    words = [f"--{option}={value}" for option, value in sizes.items()]
    words += ["--hidden", *map(str, options.hidden)]
    words += [f"--variant={variant}", f"--precision={precision}"]
    return ContenderProcess(options.torch_python, [str(TORCH_SCRIPT), *words], env)


def torch_contenders(
    options: Options,
) -> tuple[list[timing.Contender], list[Callable[[], None]], dict[str, str]]:
    """Start PyTorch's contenders. -> those that are ready, what ends them, and facts: the version,
    and for each that is left out why."""
    if not options.torch_python:
        return [], [], dict.fromkeys(TORCH, "no --torch-python")
    made, ends, facts = [], [], {}
    processes = {}
    for name in TORCH:  # all get ready at once
        try:
            processes[name] = _start(name, options)
        except ValueError as error:
            facts[name] = str(error)
    for name, process in processes.items():
        try:
            facts["torch"] = process.read()["torch"]
        except ValueError as error:
            facts[name] = str(error)
            continue
        made.append(timing.Contender(name, process.measure))
        ends.append(process.close)
    return made, ends, facts


def measure(options: Options) -> None:
    """Run the suite."""
    timing.pin(options.one_core)
    theirs, ends, facts = torch_contenders(options)
    chosen = CONTENDERS + (ON_GPU if jax.default_backend() == "gpu" else [])
    ours = [contender(estimator, precision, options) for estimator, precision in chosen]
    try:
        timings = timing.side_by_side(ours + theirs, options.repeats)
    finally:
        for end in ends:
            end()
    ratios = {a: variance_of_d(all_pairs(), a) / variance_of_d(paired(), a) for a in (2, 8, 17)}
    content = {"variance_ratio": ratios, "facts": facts, "batch": options.batch}
    text = describe(timings, ratios, facts, options, len(ours))
    timing.report_suite(options.out, "update", timings, text, content)


def describe(
    timings: list[timing.Timing],
    ratios: dict[int, float],
    facts: dict[str, str],
    options: Options,
    num_ours: int,
) -> str:
    """Write the suite's text: sizes, the table, the variances, and who is missing. The first
    num_ours timings are ours."""
    sizes = "x".join(map(str, options.hidden))
    variances = ", ".join(f"{ratio:.2f} at A = {a}" for a, ratio in ratios.items())
    compiles = ", ".join(f"{t.first_call:.1f} s" for t in timings[:num_ours])
    lines = [
        f"One update, obs {OBS}, action {ACTION}, batch {options.batch}, networks {sizes}, "
        f"{timing.cores()} core(s); PyTorch {facts.get('torch', 'absent')}, float32.",
        "",
        timing.table(timings),
        "",
        f"Variance of D, all_pairs over paired: {variances}.",
        f"First calls of ours: {compiles}.",
        *(f"Left out: {name} ({why})." for name, why in facts.items() if name in TORCH),
    ]
    return "\n".join(lines)
