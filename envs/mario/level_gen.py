"""MarioLevelGen: an agent writes a level, one decoded segment per step."""

from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.types import EnvSpec
from envs.batching import Task, TaskStep
from envs.mario.decoder.network import decode, load_weights
from envs.mario.rewards import HISTORY, UNPLAYABLE, Style, make_style
from envs.mario.tiles import (
    LATENT_SIZE,
    MAX_GAP,
    gap_at_ends,
    is_playable,
    join,
    to_characters,
)

MAX_STEPS = 50
SHIPPED_DECODER = Path(__file__).parent / "decoder" / "shipped.npz"
NUM_STARTS = 512  # random segments that levels begin with
STARTS_SEED = 0


class LevelState(NamedTuple):
    """What a level needs to go on.

    latents: [5, 20], oldest first; characters: [16, 16] uint8, of the last segment; memory: of the
    reward's style.
    """

    latents: jax.Array
    characters: jax.Array
    memory: Any


class Starts(NamedTuple):
    """Segments that a level may begin with: each is playable, and at least one can follow it.

    latents: [P, 20]; characters: [P, 16, 16] uint8; left, right: [P] int32, columns without a
    floor at either end.
    """

    latents: np.ndarray
    characters: np.ndarray
    left: np.ndarray
    right: np.ndarray


def make_level_gen(
    reward: Literal["multifacet", "puzzle"] = "multifacet",
    reference_keys: bool = False,
    decoder: str | Path | dict | None = None,
) -> Task:
    """Make the MarioLevelGen task.

    obs: [100], the latents of the last five segments, oldest first; action: [20], the latent of the
    next segment of 16 x 16 tiles. reward: of the new segment beside those before it, `multifacet`
    or `puzzle` (`reference_keys`: see `rewards.window_divergences`), and 1 less where 7 consecutive
    columns of the last and the new segment have no floor. 50 steps truncate; nothing terminates.
    decoder: a file of weights, or variables, of `mario.decoder`; the shipped one if None. The first
    five segments are drawn so that they are playable together.
    Raises ValueError for an unknown reward, and for weights that are none or of another shape.
    Source: the online level generation of DrAC (arXiv 2511.01374).
    """
    style = make_style(reward, reference_keys)
    if reference_keys and reward != "puzzle":
        raise ValueError("reference_keys=True is of reward='puzzle' alone; leave it out")
    variables = decoder if isinstance(decoder, dict) else load_weights(decoder or SHIPPED_DECODER)
    starts = find_starts(variables)
    name = "_".join(["mario", reward] + ["reference_keys"] * reference_keys)
    spec = EnvSpec(name, HISTORY * LATENT_SIZE, LATENT_SIZE, MAX_STEPS)
    return Task(spec, partial(_reset, style, starts), partial(_step, style, variables))


def _reset(style: Style, starts: Starts, key: jax.Array) -> TaskStep:
    chosen = draw_starts(starts, key)
    return begin(style, jnp.asarray(starts.latents)[chosen], jnp.asarray(starts.characters)[chosen])


def begin(style: Style, latents: jax.Array, characters: jax.Array) -> TaskStep:
    """Start a level with given segments. latents: [5, 20]; characters: [5, 16, 16], of them."""
    state = LevelState(latents, characters[-1], style.begin(characters))
    return TaskStep(state, latents.reshape(-1))


def _step(style: Style, variables: Any, state: LevelState, action: jax.Array) -> TaskStep:
    new = to_characters(decode(variables, action))
    value, memory = style.judge(state.memory, state.characters, new)
    playable = is_playable(join(jnp.stack([state.characters, new])))
    latents = jnp.concatenate([state.latents[1:], action[None]])
    reward = value + jnp.where(playable, 0.0, UNPLAYABLE)
    return TaskStep(LevelState(latents, new, memory), latents.reshape(-1), reward)


def find_starts(variables: Any, number: int = NUM_STARTS) -> Starts:
    """Decode random latents and keep the segments that a playable level can begin with.

    Raises ValueError if the decoder makes none.
    """
    key = jax.random.key(STARTS_SEED)
    latents = jax.random.uniform(key, (number, LATENT_SIZE), minval=-1.0)
    characters = jax.jit(lambda z: to_characters(decode(variables, z)))(latents)
    ends = gap_at_ends(characters)
    starts = Starts(*(np.asarray(x) for x in (latents, characters, *ends)))
    keep = np.asarray(is_playable(characters))
    while not keep.all():
        starts = Starts(*(x[keep] for x in starts))
        # Dropping what nothing can follow may drop all that could follow another.
        keep = starts.right + starts.left.min(initial=MAX_GAP + 1) <= MAX_GAP
    if not len(keep):
        raise ValueError(
            f"decoder: none of {number} random segments is playable; train it on levels with ground"
        )
    return starts


def draw_starts(starts: Starts, key: jax.Array) -> jax.Array:
    """Draw five segments that are playable side by side. -> [5] int32, places in `starts`.

    Each is uniform among those that may follow the one before: no gap of 7 columns or more is
    between two playable segments unless where they meet.
    """
    left, right = jnp.asarray(starts.left), jnp.asarray(starts.right)

    def follow(gap: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        allowed = gap + left <= MAX_GAP
        chosen = jax.random.categorical(key, jnp.where(allowed, 0.0, -jnp.inf)).astype(jnp.int32)
        return right[chosen], chosen

    return jax.lax.scan(follow, jnp.zeros((), right.dtype), jax.random.split(key, HISTORY))[1]
