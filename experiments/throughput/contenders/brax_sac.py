"""SAC of Brax's own trainer on one of Brax's environments, timed: a contender of
`bench end_to_end --brax-env`.

Prints one line of JSON when it is ready, and one for each line that it reads: the seconds of an env
step with its share of the updates, by the trainer's own clock, of `--iterations` in a row. The
trainer evaluates after each, which is not counted. Ends with its input.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import brax
import jax
import jax.numpy as jnp
from brax import envs
from brax.training.agents.sac import train as trainer
from loop_options import options

EPOCHS = 10_000  # more than anyone asks for
PREFILL = 256  # env steps before the first update


def replicated(x: Any, devices: Sequence[Any]) -> Any:
    """Do what jax.device_put_replicated did, which JAX has no more and Brax 0.14 still calls."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * len(devices)), x)


def main() -> None:
    args = options(__doc__)
    if not hasattr(jax, "device_put_replicated"):
        jax.device_put_replicated = replicated
    called = 0

    def answer(_: int, metrics: dict[str, Any]) -> None:
        """Say how fast the last epoch was, and wait until another is asked for."""
        nonlocal called
        called += 1
        if called == 1:  # the evaluation before training
            return
        ready = {"versions": f"brax {brax.__version__}, jax {jax.__version__}"}
        said = {"seconds": 1 / metrics["training/sps"]}
        print(json.dumps(ready if called == 2 else said), flush=True)
        if not sys.stdin.readline():
            sys.exit()

    prefill = -(-PREFILL // args.num_envs) * args.num_envs
    trainer.train(
        envs.get_environment(args.env),
        num_timesteps=prefill + EPOCHS * args.iterations * args.num_envs,
        episode_length=1000,
        num_envs=args.num_envs,
        num_eval_envs=1,
        num_evals=EPOCHS + 1,
        learning_rate=3e-4,
        discounting=0.99,
        batch_size=args.batch,
        min_replay_size=PREFILL,
        max_replay_size=args.capacity,
        grad_updates_per_step=args.updates,
        progress_fn=answer,
    )


if __name__ == "__main__":
    main()
