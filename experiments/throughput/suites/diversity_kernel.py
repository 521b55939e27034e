"""The diversity kernel, value and gradient, beside one copy of its input.

The copy reads and writes the actions once, as the kernel must at least. The plain form is what an
accelerator takes; the gather picks the two samples of every pair by index.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.diversity import pairwise
from drac_jax.diversity.pairwise import GEOMETRIC
from experiments.throughput import timing

COPY = "copy of the actions"


@dataclass(frozen=True)
class Options(timing.Options):
    """The diversity kernel, value and gradient, beside one copy of its input.

    Example: python -m experiments bench diversity --one-core
    """

    samples: int = 6  # action samples of a state
    batch: int = 32_768  # states
    action_size: int = 8  # numbers of an action
    calls: int = 20  # calls in a row that are timed together


def gathered_mean(actions: jax.Array) -> jax.Array:
    """Average over pairs of indices. actions: [n, B, A] -> [B]."""
    i, j = np.triu_indices(actions.shape[0], 1)
    return jnp.log(pairwise.distance(actions[i] - actions[j])).mean(axis=0)


FORMS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "all_pairs, blocks of states": partial(pairwise.blocked_mean, GEOMETRIC),
    "all_pairs, plain": partial(pairwise.plain_mean, GEOMETRIC),
    "all_pairs, gathers": gathered_mean,
}


def contenders(n: int, batch: int, action_size: int, calls: int) -> list[timing.Contender]:
    """Make the copy, and value and gradient of every form, `calls` times each."""
    actions = jax.random.uniform(jax.random.key(0), (n, batch, action_size), minval=-1.0)
    weight = jnp.full(batch, 1.0 / batch)

    def both(form: Callable, actions: jax.Array, weight: jax.Array) -> tuple:
        d, pull_back = jax.vjp(form, actions)
        return d, pull_back(weight)

    def repeated(name: str, function: Callable, *arguments: Any) -> timing.Contender:
        compiled = jax.jit(function)

        def call() -> None:
            for _ in range(calls):
                jax.block_until_ready(compiled(*arguments))

        return timing.Contender(name, call, calls)

    # To add 0.0 is not the identity (it turns -0.0 into 0.0), so it is not left out.
    copy = repeated(COPY, lambda x: x + 0.0, actions)
    return [copy] + [
        repeated(name, partial(both, form), actions, weight) for name, form in FORMS.items()
    ]


def measure(options: Options) -> None:
    """Run the suite."""
    timing.pin(options.one_core)
    timing.keep_freed_memory()
    made = contenders(options.samples, options.batch, options.action_size, options.calls)
    timings = timing.side_by_side(made, options.repeats)
    text = (
        f"Value and gradient, float32, {options.samples} samples, batch {options.batch}, "
        f"action {options.action_size}, {timing.cores()} core(s).\n\n{timing.table(timings)}"
    )
    timing.report_suite(options.out, "diversity", timings, text)
