"""Our training from scratch, a process that says what each episode returned: the contenders of
`bench end_to_end --target-return`.

Prints a line of JSON when everything is compiled, and one for each episode that ends. Ends with
its reader.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.runs.setup import run_setup
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.training import loop, sweep
from drac_jax.types import Environment, EnvState
from experiments import find

PIECE = 0.5  # seconds between two looks at the episodes, about
LOG = 4096  # episodes, more than end in a piece


class Log(NamedTuple):
    """The last LOG episodes that ended, in turn. total: of all; returns, steps: [LOG], a step is
    one of every environment."""

    total: jax.Array
    steps_so_far: jax.Array
    returns: jax.Array
    steps: jax.Array


def logged(env: Environment) -> Environment:
    """Make an environment that keeps a Log beside its internal state; a broken episode is none."""

    def reset(keys: jax.Array) -> EnvState:
        state: Any = env.reset(keys)
        zero = jnp.zeros((), jnp.int32)
        log = Log(zero, zero, jnp.zeros(LOG), jnp.zeros(LOG, jnp.int32))
        return state.replace(internal=(state.internal, log))

    def step(state: Any, action: jax.Array) -> EnvState:
        internal, log = state.internal
        after: Any = env.step(state.replace(internal=internal), action)
        log = _add(log, after.done & ~after.info["broken"], after.info["episode_return"])
        return after.replace(internal=(after.internal, log))

    return env._replace(reset=reset, step=step)


def _add(log: Log, ended: jax.Array, returns: jax.Array) -> Log:
    steps = log.steps_so_far + 1
    numbers = log.total + jnp.cumsum(ended) - 1
    places = jnp.where(ended, numbers % LOG, LOG)  # LOG: nowhere
    return Log(
        log.total + ended.sum(dtype=jnp.int32),
        steps,
        log.returns.at[places].set(returns, mode="drop"),
        log.steps.at[places].set(steps, mode="drop"),
    )


def new_episodes(setup: RunSetup, log: Log, seen: int) -> Iterator[dict[str, Any]]:
    """Yield the episodes after the first `seen`: what was spent when they ended, and returns."""
    train, prefill = setup.config.train, setup.schedule.prefill
    for number in range(seen, int(log.total)):
        steps = int(log.steps[number % LOG])
        iterations = max(0, steps - prefill) // train.steps_per_iteration
        spent = {
            "env_steps": steps * train.num_envs,
            "updates": iterations * train.updates_per_iteration,
        }
        yield spent | {"cpu_s": time.process_time(), "return": float(log.returns[number % LOG])}


def train(setup: RunSetup) -> Iterator[dict[str, Any]]:
    """Train for ever. -> when it is ready, and then each episode that ends."""
    functions = loop.make_train(logged(setup.env), setup.algorithm, setup.config.train)
    hparams = jax.tree.map(lambda x: x[0], setup.members.hparams)
    key = sweep.keys(setup.members)[0][0]
    began = time.perf_counter()

    def advance(state: loop.TrainState, strides: jax.Array) -> loop.TrainState:
        return functions.advance(state, functions.no_sums(state), strides, 0)[0]

    init = jax.jit(functions.init).lower(key, hparams).compile()
    shapes = jax.eval_shape(functions.init, key, hparams)
    count = jax.ShapeDtypeStruct((), jnp.int32)
    piece = jax.jit(advance, donate_argnums=0).lower(shapes, count).compile()
    seconds = time.perf_counter() - began
    yield {"compile_s": seconds, "cpu_s": time.process_time(), "jax": jax.__version__}
    state, seen, strides = init(key, hparams), 0, 1
    while True:
        began = time.perf_counter()
        state = jax.block_until_ready(piece(state, np.int32(strides)))
        strides = max(1, round(strides * PIECE / (time.perf_counter() - began)))
        log = jax.device_get(state.env.internal[1])
        yield from new_episodes(setup, log, seen)
        seen = int(log.total)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("experiment")
    words.add_argument("--preset", default="paper")
    words.add_argument("--seed", type=int, default=0)
    args = words.parse_args()
    experiment = find(args.experiment)
    config = replace(experiment.config(args.preset), seed=args.seed)
    for line in train(run_setup.prepare(experiment, config, args.preset)[0]):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
