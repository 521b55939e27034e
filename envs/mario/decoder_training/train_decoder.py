"""Training of the decoder, from a corpus of levels to the file of its weights."""

import json
import math
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from envs.mario import draw
from envs.mario.decoder.network import decode, save_weights
from envs.mario.decoder_training import corpus
from envs.mario.decoder_training.gan import Gan, Players, Settings, draw_latents, make_gan
from envs.mario.tiles import is_playable, to_characters

LEVELS = 400  # that are drawn by rules, if no corpus is given
KEPT_UNPLAYABLE = 0.4  # share of the windows drawn by rules with too wide a gap that are kept
CHUNK = 25  # steps between two looks at the losses
SHOW_EVERY = 10  # of them between two scores
SCORED = 1000  # random segments
TARGETS = ("ground", "gaps", "gap_columns", "pipes", "pipe_tiles", "enemies", "coins")


@dataclass(frozen=True)
class Options:
    """Train a decoder of levels.

    It writes the weights, beside them a JSON file of the command, the versions and the scores, and
    a sheet of random segments.

    Example: python -m experiments decoder --corpus my_levels --out mine.npz
    """

    corpus: Path | None = None  # a folder of text levels; levels drawn by rules if none is given
    out: Path = Path("decoder.npz")  # the weights; beside it: .json and .png
    seed: int = 0  # of weights, latents and windows
    steps: int = Settings().steps  # updates of both players
    batch: int = Settings().batch  # windows of an update
    lr: float = Settings().lr  # Adam learning rate


def run(options: Options, console: Console) -> dict[str, Any]:
    """Train, and write weights, scores and sheet. -> the scores. Raises ValueError for options out
    of range, a wrong corpus, and a training that broke down."""
    _check(options)
    windows, reference = load_corpus(options.corpus, options.seed)
    console.print(f"{len(windows)} windows of {options.corpus or 'levels drawn by rules'}")
    settings = Settings(steps=options.steps, batch=options.batch, lr=options.lr)

    def show(step: int, variables: Any) -> None:
        found = score(random_segments(variables, options.seed, SCORED), reference)
        console.print(f"step {step}: {found}", soft_wrap=True)

    variables = train(windows, settings, options.seed, console, show)
    variables = jax.tree.map(lambda x: jnp.asarray(x, jnp.float16).astype(jnp.float32), variables)
    segments = random_segments(variables, options.seed + 1, SCORED)
    scores = score(segments, reference)
    _write(options, variables, scores, segments)
    console.print_json(data=scores)
    console.print(f"written: {options.out}, and .json and .png beside it")
    return scores


def load_corpus(folder: Path | None, seed: int) -> tuple[np.ndarray, dict[str, float]]:
    """Cut the windows to learn from, and count what the corpus has in 16 columns.

    Of levels drawn by rules, part of the windows with too wide a gap is left out: random segments
    should be playable more often than windows of levels are.
    """
    if folder is not None:
        levels = corpus.read_levels(folder)
        return corpus.windows(levels), corpus.statistics(list(corpus.windows(levels)))
    windows = corpus.windows(corpus.generate_levels(seed, LEVELS))
    reference = corpus.statistics(list(windows[::16]))
    playable = np.asarray(is_playable(to_characters(jnp.asarray(windows))))
    lucky = np.random.default_rng(seed).random(len(windows)) < KEPT_UNPLAYABLE
    return windows[playable | lucky], reference


def train(
    windows: np.ndarray,
    settings: Settings,
    seed: int,
    console: Console,
    show: Callable[[int, Any], None],
) -> dict[str, Any]:
    """Train behind a progress bar. show: called now and then with the steps done and the variables
    so far. -> variables of a `Decoder`. Raises ValueError for a NaN."""
    init_key, train_key, finish_key = jax.random.split(jax.random.key(seed), 3)
    gan = make_gan(windows, settings)
    players = jax.jit(gan.init)(init_key)
    many, finish = make_chunk(gan), jax.jit(gan.finish)
    chunks = math.ceil(settings.steps / CHUNK)
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=chunks * CHUNK)
        for chunk, key in enumerate(jax.random.split(train_key, chunks), start=1):
            players, metrics = many(players, key)
            told = {name: float(value) for name, value in metrics.items()}
            if not all(map(math.isfinite, told.values())):
                raise ValueError(f"lr={settings.lr} made the training NaN; use a smaller one")
            text = ", ".join(f"{name} {value:.3f}" for name, value in told.items())
            progress.update(bar, advance=CHUNK, description=text)
            if chunk % SHOW_EVERY == 0:
                show(chunk * CHUNK, finish(players, finish_key))
    return finish(players, finish_key)


def make_chunk(gan: Gan) -> Callable[[Players, jax.Array], tuple[Players, dict]]:
    """Compile some steps in a row: players and key -> players and the mean metrics."""

    @jax.jit
    def many(players: Players, key: jax.Array) -> tuple[Players, dict]:
        players, metrics = jax.lax.scan(gan.step, players, jax.random.split(key, CHUNK))
        return players, jax.tree.map(jnp.mean, metrics)

    return many


def random_segments(variables: Any, seed: int, count: int) -> np.ndarray:
    """Decode random latents. -> [count, 16, 16] uint8 tile ids."""
    latents = draw_latents(jax.random.key(seed), count)
    return np.asarray(jax.jit(decode)(variables, latents))


def score(segments: np.ndarray, reference: dict[str, float]) -> dict[str, Any]:
    """Compare segments with the corpus: the ratio of their statistics, the share of playable ones
    and how many differ. A statistic that the corpus has none of is left out."""
    found = corpus.statistics(list(segments))
    ratios = {name: round(found[name] / reference[name], 3) for name in TARGETS if reference[name]}
    distinct = len({segment.tobytes() for segment in segments})
    return {
        "ratio to the corpus": ratios,
        "playable": round(found["playable"], 3),
        "playable in the corpus": round(reference["playable"], 3),
        "distinct": distinct,
        "segments": len(segments),
    }


def _check(options: Options) -> None:
    for name in ("steps", "batch"):
        if getattr(options, name) < 1:
            raise ValueError(f"{name}={getattr(options, name)} must be at least 1")
    if not 0.0 < options.lr < 1.0:
        raise ValueError(f"lr={options.lr} must be between 0 and 1, as 5e-4")
    if options.out.suffix != ".npz":
        raise ValueError(f"out={options.out} must end in .npz")
    if not options.out.resolve().parent.is_dir():
        raise ValueError(f"out={options.out}: there is no folder {options.out.parent}; make it")


def _write(options: Options, variables: Any, scores: dict, segments: np.ndarray) -> None:
    save_weights(options.out, variables)
    given = {name: value for name, value in asdict(options).items() if value is not None}
    command = " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in given.items())
    record = {
        "command": f"python -m experiments decoder {command}",
        "seed": options.seed,
        "versions": {"jax": jax.__version__, "flax": flax.__version__, "optax": optax.__version__},
        "scores": scores,
    }
    options.out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    draw.sheet(list(segments[:48]), options.out.with_suffix(".png"), columns=8)
