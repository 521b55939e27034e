"""Online level generation: a decoder's latents are the actions, 500,000 env steps; the paper's
third domain. Every method trains at its three temperatures at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import envs
from drac_jax.algorithms import (
    DacerHParams,
    DracHParams,
    S2acHParams,
    SacHParams,
    SdacHParams,
    SqlHParams,
)
from drac_jax.algorithms.registry import DacerOptions, DracOptions, S2acOptions
from drac_jax.runs.setup.experiment import EvalConfig, Experiment, RunConfig, Study
from drac_jax.training.schedule import TrainConfig
from drac_jax.types import Environment
from envs.mario import draw, tile_diversity
from envs.mario.decoder.network import decode, load_weights
from envs.mario.level_gen import SHIPPED_DECODER
from envs.mario.tiles import LATENT_SIZE
from experiments.tasks.every_method import Setting, every_method

COMPARED_SEGMENTS = 21  # the last initial one and 20 generated: the levels of the diversity
SHEET_LEVELS, WAYS, WAY_SEGMENTS = 12, 8, 6  # of the pictures


@dataclass(frozen=True)
class MarioOptions:
    """Options of level generation."""

    reward: Literal["multifacet", "puzzle"]  # the style
    reference_keys: bool = False  # of puzzle alone: the published one's, see envs/mario/rewards.py
    decoder: str = ""  # a file of weights; the shipped ones if empty


def make_env(options: MarioOptions, obstacles: bool) -> Environment:
    """Make the task, which has no obstacles."""
    return envs.make("mario", **{**vars(options), "decoder": options.decoder or None})


@cache
def _decoder(options: MarioOptions) -> Callable[[Any], np.ndarray]:
    """Make latents [..., 20] -> tiles [..., 16, 16]."""
    variables = load_weights(options.decoder or SHIPPED_DECODER)
    compiled = jax.jit(lambda latents: decode(variables, latents))
    return lambda latents: np.asarray(compiled(jnp.asarray(latents)))


def measure(options: MarioOptions, paths: np.ndarray) -> dict[str, float]:
    """Measure how different a policy's levels are, in pairs. paths: observations [N, T + 1, 100],
    whose last 20 numbers are the segment written last. In tiles of the 16 x 336."""
    latents = paths[: len(paths) // 2 * 2, :COMPARED_SEGMENTS, -LATENT_SIZE:]
    found = tile_diversity.level_diversity(jnp.asarray(_decoder(options)(latents)))
    return {"eval/diversity": found.mean, "eval/diversity_gmean": found.geometric_mean}


def draw_levels(
    options: MarioOptions,
    act: Callable[[jax.Array, jax.Array], jax.Array],
    paths: Any,
    folder: Path,
) -> None:
    """Draw a sheet of a policy's levels, several ways on from one state, and a level growing."""
    tiles_of = _decoder(options)

    def level(latents: Any) -> np.ndarray:
        return np.concatenate(list(tiles_of(latents)), axis=-1)

    shown = np.asarray(paths)[:SHEET_LEVELS, :COMPARED_SEGMENTS, -LATENT_SIZE:]
    draw.sheet([level(latents) for latents in shown], folder / "levels.png", pixels=4)
    draw.grow_gif(level(shown[0]), folder / "level.gif")
    obs = jnp.broadcast_to(paths[0, 0], (WAYS, paths.shape[-1]))
    ways = []
    for key in jax.random.split(jax.random.key(0), WAY_SEGMENTS):
        ways.append(act(obs, key))
        obs = jnp.concatenate([obs[:, LATENT_SIZE:], ways[-1]], axis=-1)
    futures = [level(way) for way in np.stack(ways, axis=1)]
    past = level(np.asarray(paths[0, 0]).reshape(-1, LATENT_SIZE)[-2:])
    draw.continuations(past, futures, folder / "continuations.png")


STUDY = Study(measure, draw_levels)

# The paper's three temperatures of each method.
BETAS, ENTROPIES = {"beta": (0.2, 0.5, 0.8)}, {"target_entropy": (-20.0, -5.0, 10.0)}
ALPHAS = {"alpha": (0.05, 0.175, 0.3)}
SETTINGS: Mapping[str, Setting] = {
    "sac": Setting(SacHParams(), grid=ENTROPIES),
    "dacer": Setting(DacerHParams(), DacerOptions(entropy_period=1_000), grid=ENTROPIES),
    "sdac": Setting(SdacHParams(), grid=ALPHAS),
    "sql": Setting(SqlHParams(), grid=ALPHAS),
    "s2ac": Setting(S2acHParams(), S2acOptions(svgd_steps=3), grid={"alpha": (0.1, 0.4, 0.7)}),
}


def _experiments(reward: Literal["multifacet", "puzzle"], style: str) -> list[Experiment]:
    # The paper's loop: one environment, one update per step, eight pairs of samples.
    paper = RunConfig(
        env=MarioOptions(reward),
        algorithm=DracOptions(estimator="paired", num_samples=17),
        hparams=DracHParams(),
        train=TrainConfig(env_steps=500_000, epochs=50),
        eval=EvalConfig(episodes=30, final_episodes=300),
        grid=BETAS,
    )
    default = replace(paper, algorithm=DracOptions())
    # 64 environments, an update for every eighth env step.
    fast = replace(
        default,
        train=TrainConfig(env_steps=500_000, num_envs=64, updates_per_iteration=8, epochs=50),
    )
    # For a large accelerator: as many updates per env step.
    gpu = replace(
        fast,
        algorithm=DracOptions(precision="tf32"),
        train=replace(fast.train, num_envs=512, updates_per_iteration=64),
    )
    amortized = Experiment(
        name=f"mario_{reward}_amortized",
        summary=f"level generation, {style} reward",
        method="amortized",
        make_env=make_env,
        presets={"paper": paper, "default": default, "fast": fast, "gpu": gpu},
        study=STUDY,
    )
    return every_method(amortized, SETTINGS)


EXPERIMENTS = [*_experiments("multifacet", "MultiFacet"), *_experiments("puzzle", "MarioPuzzle")]
