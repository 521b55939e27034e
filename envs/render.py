"""Moving pictures of MuJoCo models: a page for the browser, and GIFs drawn without a screen.

`python -m envs.render` is the process that draws the GIFs: MuJoCo chooses its OpenGL backend once,
when it is imported, and a backend that fails may leave a process unable to try another.
"""

import contextlib
import copy
import io
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
from PIL import Image

WIDTH, HEIGHT = 480, 360  # pixels
MAX_FPS = 25
MAX_FRAMES = 300  # of a GIF
BACKENDS = ("egl", "osmesa", "")  # of MUJOCO_GL; the last is the system's own, with a screen
TRACK = "track"  # the name of the camera that Gymnasium's models carry
LOOK_DOWN = -70.0  # degrees: walls hide little, and heights still show
NEARNESS = 0.66  # of the free camera's distance, so that a map fills the picture
SHADOW_PIXELS = 1024  # MuJoCo's 4096 take most of the time where there is no GPU
DECIMALS = 5  # of positions and rotations in a page


def page(model: mujoco.MjModel, qpos: np.ndarray, dt: float) -> str:
    """Write Brax's viewer of a path of joint positions, as HTML that loads its scripts from the
    network. qpos: [T, Q]; dt: seconds between two. Raises ValueError where Brax refuses it."""
    # Importing MJX prints that NVIDIA's warp is not there; Brax warns that MJX has replaced it.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brax.io import html, mjcf

        every = _frame_skip(dt)
        states = _link_states(model, qpos[::every])
        try:
            system = mjcf.load_model(_drawable(model)).tree_replace({"opt.timestep": dt * every})
            return html.render(system, states, height="100vh", colab=False)
        except Exception as error:  # it raises various ones for what it does not know
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(f"Brax's viewer cannot show this model ({why})") from None


def _drawable(model: mujoco.MjModel) -> mujoco.MjModel:
    """Copy a model, into which Brax's loader writes, and adapt it to loader and viewer."""
    model = copy.deepcopy(model)
    model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON  # it refuses others, and none is run here
    # Its endless planes are chequered; plain ones do not show whether a body moves over them.
    model.geom_size[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE, :2] = 0.0
    return model


def _link_states(model: mujoco.MjModel, qpos: np.ndarray) -> list[SimpleNamespace]:
    """Place the bodies, but for the world, by forward kinematics: the part of Brax's states that
    its viewer reads."""
    data = mujoco.MjData(model)
    states = []
    for position in qpos:
        data.qpos[:] = position
        mujoco.mj_kinematics(model, data)
        pos, rot = data.xpos[1:].round(DECIMALS), data.xquat[1:].round(DECIMALS)
        states.append(SimpleNamespace(x=SimpleNamespace(pos=pos, rot=rot)))
    return states


def _frame_skip(dt: float) -> int:
    """Count the env steps of a frame, so that there are at most MAX_FPS frames a second."""
    return max(1, int(np.ceil(1.0 / (MAX_FPS * dt) - 1e-6)))


def longest_gif(dt: float) -> float:
    """Say how many seconds of an episode a GIF shows at most."""
    return MAX_FRAMES * _frame_skip(dt) * dt


def draw_clips(
    model: mujoco.MjModel, clips: Mapping[Path, np.ndarray], dt: float, from_above: bool = False
) -> None:
    """Draw GIFs, or mp4 files, with the first OpenGL backend that works, starting with the user's
    MUJOCO_GL.

    They play as fast as the simulation, at most MAX_FPS frames a second; of a GIF the first
    MAX_FRAMES. clips: file -> qpos [T, Q]; dt: seconds of an env step; from_above: show the whole
    model instead of following it. Raises ValueError, which says what to install, where no backend
    works.
    """
    absolute = {path.absolute(): qpos for path, qpos in clips.items()}
    work = pickle.dumps((model, absolute, dt, from_above))
    tried = list(dict.fromkeys([os.environ.get("MUJOCO_GL", BACKENDS[0]), *BACKENDS]))
    for backend in tried:
        done = subprocess.run(
            [sys.executable, "-m", "envs.render"],
            input=work,
            capture_output=True,
            cwd=Path(__file__).parents[1],
            env=os.environ | {"MUJOCO_GL": backend},
        )
        if done.returncode == 0:
            return
    raise ValueError(
        "no OpenGL that draws without a screen (tried MUJOCO_GL="
        f"{', '.join(name or 'unset' for name in tried)}); install Debian's libegl1, "
        f"libgl1 and libgl1-mesa-dri, or libosmesa6 (the last try said: {_last_line(done.stderr)})"
    )


def _last_line(text: bytes) -> str:
    return (text.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]


def _draw(
    model: mujoco.MjModel, clips: Mapping[Path, np.ndarray], dt: float, from_above: bool
) -> None:
    every = _frame_skip(dt)
    camera = _camera(model, from_above)
    model.vis.quality.shadowsize = SHADOW_PIXELS
    with mujoco.Renderer(model, HEIGHT, WIDTH) as renderer:
        for path, qpos in clips.items():
            write, most = (_write_mp4, None) if path.suffix == ".mp4" else (_write_gif, MAX_FRAMES)
            frames = _frames(model, renderer, camera, qpos[::every][:most])
            write(frames, dt * every, path)


def _camera(model: mujoco.MjModel, from_above: bool) -> mujoco.MjvCamera | str:
    """Take the model's own camera, or one that follows its first body, or shows it whole."""
    if not from_above and mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, TRACK) >= 0:
        return TRACK
    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    if from_above:
        camera.elevation = LOOK_DOWN
        camera.distance *= NEARNESS
    else:
        camera.type, camera.trackbodyid = mujoco.mjtCamera.mjCAMERA_TRACKING, 1
    return camera


def _frames(
    model: mujoco.MjModel,
    renderer: mujoco.Renderer,
    camera: mujoco.MjvCamera | str,
    qpos: np.ndarray,
) -> list[Image.Image]:
    data = mujoco.MjData(model)
    frames = []
    for position in qpos:
        data.qpos[:] = position
        # What is drawn depends on these three; a whole step would also look for contacts.
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        renderer.update_scene(data, camera)
        frames.append(Image.fromarray(renderer.render()))
    return frames


def _write_gif(frames: Sequence[Image.Image], seconds: float, path: Path) -> None:
    """Write a GIF that repeats. seconds: of a frame; a GIF counts hundredths, so that single
    frames are rounded but not their sum."""
    ends = 10 * np.round(100 * seconds * np.arange(len(frames) + 1)).astype(int)
    # One palette for all: without it colours flicker and the file is larger.
    first = frames[0].quantize()
    rest = [frame.quantize(palette=first, dither=Image.Dither.NONE) for frame in frames[1:]]
    first.save(path, save_all=True, append_images=rest, duration=np.diff(ends).tolist(), loop=0)


def _write_mp4(frames: Sequence[Image.Image], seconds: float, path: Path) -> None:
    """Write an mp4 (H.264). seconds: of a frame."""
    from imageio_ffmpeg import write_frames  # the extra `video`

    writer = write_frames(str(path), frames[0].size, fps=1.0 / seconds, macro_block_size=2)
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()


if __name__ == "__main__":
    _draw(*pickle.load(sys.stdin.buffer))
