"""Episodes drawn: the page for the browser, the GIF, and what cannot be drawn."""

from pathlib import Path

import gymnasium
import imageio_ffmpeg
import mujoco
import numpy as np
import pytest

import envs
from envs import render
from tests.support.commands import command
from tests.support.drawings import frames_of, scene_of

MODELS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
ELLIPSOID = """
<mujoco><worldbody><body><freejoint/><geom type="ellipsoid" size="1 2 3"/></body></worldbody>
</mujoco>
"""


def gif_of(model: mujoco.MjModel, qpos: np.ndarray, dt: float, path: Path, above: bool = False):
    """Draw a GIF and read it, or skip the test where nothing can draw."""
    try:
        render.draw_clips(model, {path: qpos}, dt, above)
    except ValueError as error:
        pytest.skip(str(error))
    return frames_of(path)


def moving(model: mujoco.MjModel, steps: int) -> np.ndarray:
    """Move every joint of a model a little further each step. -> [T, Q]."""
    return model.qpos0 + 0.02 * np.arange(steps)[:, None]


@pytest.fixture(scope="module")
def maze():
    return envs.make("point_maze")


def test_page_shows_walls_floor_and_goals_that_rest_and_a_point_that_moves(maze):
    qpos = np.array([[0.0, 0.0], [0.5, 0.0], [1.0, -0.25]])
    scene = scene_of(render.page(maze.visual.model(), qpos, dt=0.04))
    shapes = [geom["name"] for geom in scene["geoms"]["world"]]
    assert shapes == ["Box"] * (len(maze.spec.scene.walls) + 1 + maze.spec.num_goals)
    assert [geom["name"] for geom in scene["geoms"]["point"]] == ["Sphere"]
    places = [state["pos"][0] for state in scene["states"]["x"]]
    np.testing.assert_allclose(places, [[0, 0, 0], [0.5, 0, 0], [1, -0.25, 0]])


@pytest.mark.parametrize(("dt", "every"), [(0.01, 4), (0.015, 3), (0.04, 1), (0.05, 1)])
def test_page_plays_as_fast_as_the_simulation(maze, dt, every):
    scene = scene_of(render.page(maze.visual.model(), np.zeros((60, 2)), dt))
    assert len(scene["states"]["x"]) == 60 // every
    assert scene["opt"]["timestep"] == pytest.approx(every * dt)


@pytest.mark.parametrize("name", ["ant", "humanoid", "half_cheetah"])
def test_gymnasium_model_is_shown_as_it_stands(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo logs a warning about the cheetah where it is called
    model = mujoco.MjModel.from_xml_path(str(MODELS / f"{name}.xml"))
    limits, qpos = model.jnt_range.copy(), moving(model, 3)
    scene = scene_of(render.page(model, qpos, dt=0.05))
    data = mujoco.MjData(model)
    data.qpos[:] = qpos[-1]
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(scene["states"]["x"][-1]["pos"], data.xpos[1:], atol=1e-5)
    assert sum(map(len, scene["geoms"].values())) == model.ngeom
    np.testing.assert_array_equal(model.jnt_range, limits)  # Brax's loader writes into its model
    frames, lasting = gif_of(model, qpos, 0.05, tmp_path / "moving.gif")
    assert lasting == [50, 50, 50]
    assert (frames[0] != frames[1]).any()


def test_model_that_brax_does_not_know_is_refused_in_one_line():
    model = mujoco.MjModel.from_xml_string(ELLIPSOID)
    with pytest.raises(ValueError, match=r"^Brax's viewer cannot show this model \(.+\)$"):
        render.page(model, model.qpos0[None], dt=0.05)


def test_gif_shows_the_point_where_it_is(maze, tmp_path):
    qpos = np.linspace([-3.0, 0.0], [3.0, 0.0], 9)
    frames, lasting = gif_of(maze.visual.model(), qpos, 0.02, tmp_path / "point.gif", above=True)
    assert lasting == [40] * 5
    assert frames[0].shape == (render.HEIGHT, render.WIDTH, 3)
    columns = [np.argwhere(red(frame))[:, 1].mean() for frame in frames]
    assert (np.diff(columns) > 10).all()
    assert columns[2] == pytest.approx(render.WIDTH / 2, abs=2)


def red(frame: np.ndarray) -> np.ndarray:
    r, g, b = frame.astype(int).transpose(2, 0, 1)
    return (r > 2 * g) & (r > 2 * b)


@pytest.mark.heavy
def test_gif_of_a_model_at_rest_lasts_as_long_as_one_that_moves(maze, tmp_path):
    dt, longest = 0.015, render.longest_gif(0.015)
    qpos = np.zeros((round(longest / dt) + 50, 2))
    _, lasting = gif_of(maze.visual.model(), qpos, dt, tmp_path / "rest.gif", above=True)
    assert sum(lasting) == pytest.approx(1000 * longest)


def test_backend_that_fails_is_passed_over(maze, tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "no_such_backend")
    frames, _ = gif_of(maze.visual.model(), np.zeros((1, 2)), 0.01, tmp_path / "one.gif")
    assert len(frames) == 1


def test_machine_without_a_backend_is_told_what_to_install(maze, tmp_path, monkeypatch):
    monkeypatch.setattr(render, "BACKENDS", ("no_such_backend",))
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    with pytest.raises(ValueError, match=r"MUJOCO_GL=no_such_backend\); install .*libegl1"):
        render.draw_clips(maze.visual.model(), {tmp_path / "a.gif": np.zeros((1, 2))}, 0.01)


def test_render_needs_the_folder_of_a_run(tmp_path):
    assert command("render") == (
        2,
        "error: render needs the folder of a run: python -m experiments render FOLDER\n",
    )
    code, said = command("render", tmp_path)
    assert code == 2
    assert "is not a run folder" in said


def test_mp4_can_be_decoded_and_moves(maze, tmp_path):
    path = tmp_path / "point.mp4"
    qpos = np.linspace([-3.0, 0.0], [3.0, 0.0], 9)
    try:
        render.draw_clips(maze.visual.model(), {path: qpos}, 0.04, from_above=True)
    except ValueError as error:
        pytest.skip(str(error))
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == (render.WIDTH, render.HEIGHT)
    frames = [np.frombuffer(frame, np.uint8).astype(int) for frame in reader]
    assert len(frames) == 9
    assert all(abs(a - b).max() > 50 for a, b in zip(frames, frames[1:], strict=False))
