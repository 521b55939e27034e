"""What a run shows while it trains: charts for TensorBoard, and films."""

import math
import struct
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from drac_jax.runs.execution import pace
from experiments.cli import films
from tests.drac_jax.runs.test_resuming import stop_after
from tests.support.commands import (
    EPOCHS,
    SEEDS,
    TINY,
    command,
    only_run_in,
    records_of,
    without_times,
)

pytestmark = pytest.mark.slow
SHOW = ("--tensorboard", "--video-epochs", 2, "--video-every", 4)


def events_of(folder: Path) -> list[Event]:
    """Read event files: records of a length, its checksum, the bytes and their checksum."""
    found = []
    for path in sorted(folder.glob("events.*")):
        content = path.read_bytes()
        while content:
            (size,) = struct.unpack("<Q", content[:8])
            found.append(Event.FromString(content[12 : 12 + size]))
            content = content[16 + size :]
    return found


def scalars_of(folder: Path) -> list[tuple[str, int, float]]:
    return [
        (value.tag, event.step, value.simple_value)
        for event in events_of(folder)
        for value in event.summary.value
    ]


def frames_of(path: Path) -> list[np.ndarray]:
    """Decode a film."""
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return [np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader]


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> Path:
    """A run that is stopped within its third epoch, and goes on."""
    runs = tmp_path_factory.mktemp("shown")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(130, patch)
        assert command(*TINY, "--runs-dir", runs, *SHOW).code == 130
    assert pace.SECONDS > 0.0
    folder = only_run_in(runs)
    outcome = command("run", "--resume", folder, *SHOW)
    assert outcome.code == 0, outcome.said
    return folder


def test_a_resumed_run_has_each_point_of_its_charts_once(shown):
    for seed in range(SEEDS):
        records = [r for r in records_of(shown) if r["seed"] == seed]
        expected = {
            (name, record["env_steps"]): value
            for record in records
            for name, value in record.items()
            if "/" in name and value is not None
        }
        points = scalars_of(shown / "tensorboard" / f"seed_{seed}")
        assert len(points) == len({point[:2] for point in points})
        found = {(tag, step): value for tag, step, value in points if not math.isnan(value)}
        assert found.keys() == expected.keys()
        assert all(found[k] == pytest.approx(v, rel=1e-6) for k, v in expected.items())


def test_showing_changes_no_number(shown, finished):
    assert without_times(records_of(shown)) == without_times(records_of(finished.folder))


def test_films_of_the_chosen_epochs_can_be_played(shown):
    names = sorted(path.name for path in (shown / "videos").iterdir())
    assert names == ["epoch_0002.mp4", "epoch_0004.mp4"]
    for name in names:
        frames = frames_of(shown / "videos" / name)
        assert len(frames) >= 3
        assert any((a.astype(int) - b).max() > 50 for a, b in zip(frames, frames[1:], strict=False))


@pytest.mark.parametrize("epoch", [0, EPOCHS + 1])
def test_an_epoch_that_the_run_has_not_is_refused(epoch, tmp_path):
    outcome = command(*TINY, "--runs-dir", tmp_path, "--video-epochs", epoch)
    assert outcome.code == 2
    assert f"--video-epochs {epoch} must be in 1..{EPOCHS}" in outcome.said
    assert not list(tmp_path.iterdir())


def test_a_task_without_looks_says_so_before_training():
    def task(**found: Any) -> Any:
        """Only what `settle` reads."""
        return type("Part", (), found)

    env = task(visual=None, spec=task(scene=None, name="levels"))
    words = task(tensorboard=False, video_epochs=(1,), video_every=None)
    asked, notes = films.settle(words, task(env=env, schedule=task(epochs=3)))
    assert not asked.videos
    assert notes == ["no videos: levels has neither a model nor a map to draw"]
