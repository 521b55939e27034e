"""What policies that learn nothing get on level generation: uniform actions, and zeros.

python -m experiments.studies.level_baselines --help
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import tyro

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


@dataclass(frozen=True)
class Options:
    """Play policies that learn nothing on level generation: uniform actions, and zeros."""

    episodes: int = 300  # of each policy and reward
    decoder: str = ""  # a file of weights; the shipped ones if empty
    out: Path | None = None  # write what is found to this JSON file


def main(asked: Options) -> None:
    """Play both policies on both rewards."""
    found: dict[str, Any] = {"episodes": asked.episodes}
    rewards: tuple[Literal["multifacet", "puzzle"], ...] = ("multifacet", "puzzle")
    for reward in rewards:
        for act in (uniform, zeros):
            name, options = f"{reward}, {act.__name__}", MarioOptions(reward, decoder=asked.decoder)
            found[name] = play(options, act, asked.episodes)
            print(name, found[name])
    if asked.out:
        run_folder.write_json(asked.out, found)


if __name__ == "__main__":
    main(tyro.cli(Options))
