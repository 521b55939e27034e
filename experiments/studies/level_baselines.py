"""What policies that learn nothing get on level generation: uniform actions, and zeros.

python -m experiments.mario_baselines [--episodes 300] [--decoder FILE] [--out FILE.json]
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from drac_jax.runs.storage import run_folder
from drac_jax.training.evaluate import make_evaluate
from envs.mario.tiles import LATENT_SIZE
from experiments.tasks.mario_tasks import MarioOptions, make_env, measure


def uniform(agent: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
    """Act at random. obs: [N, 100] -> [N, 20]."""
    return jax.random.uniform(key, (len(obs), LATENT_SIZE), minval=-1.0)


def zeros(agent: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
    """Act always alike. obs: [N, 100] -> [N, 20]."""
    return 0.0 * obs[:, :LATENT_SIZE]  # not a constant, which the compiler would decode itself


def play(options: MarioOptions, act: Callable, episodes: int) -> dict[str, float]:
    """Play episodes. -> mean return, its standard deviation, and the diversity of the levels."""
    evaluate = make_evaluate(make_env(options, False), act, episodes, record_paths=True)
    played = jax.device_get(jax.jit(evaluate)(None, jax.random.key(0)))
    returns = {"return": float(played.returns.mean()), "return_std": float(played.returns.std())}
    return returns | measure(options, played.paths)


def main() -> None:
    """Play both policies on both rewards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--decoder", default="")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found: dict[str, Any] = {"episodes": args.episodes}
    for reward in ("multifacet", "puzzle"):
        for act in (uniform, zeros):
            found[f"{reward}, {act.__name__}"] = play(
                MarioOptions(reward, decoder=args.decoder), act, args.episodes
            )
            print(reward, act.__name__, found[f"{reward}, {act.__name__}"])
    if args.out:
        run_folder.write_json(args.out, found)


if __name__ == "__main__":
    main()
