"""SAC of Rejax on one of Brax's environments, timed: a contender of `bench end_to_end --brax-env`.

Prints one line of JSON when it is ready, and one for each line that it reads: the seconds of an env
step with its share of the updates, of `--iterations` in a row, in one program. Ends with its input.
"""

import json
import sys
import time
from importlib.metadata import version
from typing import Any

import jax
from loop_options import options
from rejax import get_algo


def main() -> None:
    args = options(__doc__)
    algorithm: Any = get_algo("sac").create(
        env=f"brax/{args.env}",
        num_envs=args.num_envs,
        num_epochs=args.updates,
        batch_size=args.batch,
        buffer_size=args.capacity,
        fill_buffer=256,
        polyak=0.995,
        hidden_layer_sizes=(256, 256),
    )

    @jax.jit
    def epoch(state: Any) -> Any:
        return jax.lax.fori_loop(
            0, args.iterations, lambda _, state: algorithm.train_iteration(state), state
        )

    state = jax.jit(algorithm.init_state)(jax.random.PRNGKey(0))
    while state.global_step <= 256 + args.num_envs * args.iterations:  # until it learns
        state = jax.block_until_ready(epoch(state))
    versions = f"rejax {version('rejax')}, jax {jax.__version__}"
    print(json.dumps({"versions": versions}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        state = jax.block_until_ready(epoch(state))
        seconds = (time.perf_counter() - began) / (args.iterations * args.num_envs)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
