"""What a run is asked to show while it trains: charts, and a film of an episode now and then."""

import importlib.util
from pathlib import Path
from typing import Any

from drac_jax import ranges
from drac_jax.figures import trajectory_film
from drac_jax.runs.execution.showing import Asked
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import tensorboard
from drac_jax.training.evaluate import Episodes
from drac_jax.types import Environment


def settle(words: Any, setup: RunSetup) -> tuple[Asked, list[str]]:
    """Check the options `tensorboard`, `video_epochs` and `video_every`. -> what is asked, and
    notes. Raises ValueError for a missing package, and for an epoch that the run has not."""
    if words.tensorboard:
        tensorboard.check()
    epochs = _epochs(words.video_epochs, words.video_every, setup.schedule.epochs)
    if not epochs:
        return Asked(words.tensorboard), []
    if setup.env.visual is None and setup.env.spec.scene is None:
        why = f"no videos: {setup.env.spec.name} has neither a model nor a map to draw"
        return Asked(words.tensorboard), [why]
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise ValueError("videos need imageio-ffmpeg; install it: pip install 'drac_jax[video]'")
    return Asked(words.tensorboard, epochs, film), []


def _epochs(named: tuple[int, ...], every: int | None, last: int) -> frozenset[int]:
    for epoch in named:
        if not 1 <= epoch <= last:
            raise ValueError(f"--video-epochs {epoch} must be in 1..{last}, the run's epochs")
    if every is not None:
        ranges.check_number("epochs", every, "--video-every")
        named = (*named, *range(every, last + 1, every))
    return frozenset(named)


def film(env: Environment, episode: Episodes, path: Path) -> None:
    """Write an mp4 of one episode: of the model or, where there is none or no OpenGL, of the way on
    the map. episode: leaves [1, ...]. Raises ValueError where nothing can draw."""
    length = int(episode.lengths[0])
    scene, title = env.spec.scene, f"{env.spec.name}: return {float(episode.returns[0]):.4g}"
    if env.visual is not None:
        from envs.render import draw_clips  # imports MuJoCo, which takes a second

        clip = {path: episode.records[0][:length]}
        try:
            return draw_clips(env.visual.model(), clip, env.visual.dt, from_above=scene is not None)
        except ValueError:
            if scene is None:
                raise
    assert scene is not None  # as `settle` has seen
    trajectory_film.film(scene, episode.paths[0][: length + 1], title, path)
