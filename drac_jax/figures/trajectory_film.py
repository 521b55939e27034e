"""A film of one episode on its map."""

import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from drac_jax.figures import plots
from drac_jax.types import Scene

FPS = 20
MOST_FRAMES = 300
INCHES, DPI = 4.0, 100
LAST = 10  # frames that the end is held for


def film(scene: Scene, way: ArrayLike, title: str, path: Path) -> int:
    """Draw how a point moves on the map, as an mp4. way: [T, O], the first two numbers are its
    position. -> the number of frames. Raises ValueError where imageio-ffmpeg is missing."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        raise ValueError("a film needs imageio-ffmpeg: pip install 'drac_jax[video]'") from None
    points = np.asarray(way)[:, :2]
    every = -(-len(points) // MOST_FRAMES)
    shown = [*range(0, len(points), every), *[len(points) - 1] * LAST]
    figure, axes = plots.panels(1, 1, (INCHES, INCHES))
    figure.set_dpi(DPI)
    axis = axes[0, 0]
    plots.draw_scene(axis, scene)
    axis.set_axis_off()
    axis.set_title(title, fontsize=9)
    (line,) = axis.plot([], [], color=plots.COLOURS[0], lw=1.2, zorder=7)
    (dot,) = axis.plot([], [], "o", color=plots.COLOURS[1], ms=6, zorder=8)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # to lay it out again takes most of the time
    size = (int(INCHES * DPI),) * 2
    frames = []
    for step in shown:
        line.set_data(*points[: step + 1].T)
        dot.set_data(*points[step : step + 1].T)
        figure.canvas.draw()
        frames.append(bytes(figure.canvas.buffer_rgba()))
    _encode(get_ffmpeg_exe(), b"".join(frames), size, path)
    plots.forget(figure)
    return len(shown)


def _encode(program: str, frames: bytes, size: tuple[int, int], path: Path) -> None:
    """Let ffmpeg write RGBA frames. The writer of imageio-ffmpeg forks, which JAX warns of; a
    session of its own keeps Ctrl-C from it."""
    source = ["-f", "rawvideo", "-pix_fmt", "rgba", "-s", f"{size[0]}x{size[1]}", "-r", str(FPS)]
    target = ["-c:v", "libx264", "-pix_fmt", "yuv420p", str(path)]
    command = [program, "-loglevel", "error", "-y", *source, "-i", "-", *target]
    done = subprocess.run(command, input=frames, capture_output=True, start_new_session=True)
    if done.returncode:
        raise ValueError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()[:200]}")
