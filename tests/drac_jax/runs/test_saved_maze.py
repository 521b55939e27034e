"""Commands on one saved run of a point maze, whose compiling is most of what they take: episodes
rendered, and played on perturbed maps."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.commands import command
from tests.support.drawings import frames_of, scene_of

pytestmark = pytest.mark.heavy

TINY = (
    "run pointmaze_simple_amortized --seeds 2 --algorithm.hidden 16 16 "
    "--algorithm.latent-size 4 --train.env-steps 64 --train.epochs 1 --train.num-envs 8 "
    "--train.batch-size 16 --train.learning-starts 16 --eval.episodes 2 --eval.final-episodes 5 "
    "--eval.sr5-groups 1"
)
EPISODES = 2


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    code, said = command(*TINY.split(), "--runs-dir", runs)
    assert code == 0, said
    (folder,) = runs.glob("*/*")
    return folder


def test_saved_policy_is_played_and_drawn(run_folder):
    code, said = command("render", run_folder, "--episodes", EPISODES, "--member", 1)
    assert code == 0, said
    (place,) = (run_folder / "render").iterdir()
    assert f"{place}: " in said
    lengths = [int(n) for n in re.findall(r"episode \d: return .*, (\d+) env steps", said)]
    assert len(lengths) == EPISODES
    assert (place / "trajectories.png").stat().st_size > 0
    for number, length in enumerate(lengths, start=1):
        states = scene_of((place / f"episode_{number}.html").read_text())["states"]["x"]
        assert len(states) == -(-length // 2)  # a frame is 0.04 s, a step 0.02
        assert states[0]["pos"] == [[0.0, 0.0, 0.0]]
        assert states[-1]["pos"] != [[0.0, 0.0, 0.0]]
    if "note: no GIFs: " in said:
        pytest.skip(said)
    frames, lasting = frames_of(place / "episode_1.gif")
    assert sum(lasting) == 40 * -(-lengths[0] // 2)
    assert (frames[0] != frames[-1]).any()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--episodes 0", "episodes=0 must be at least 1"),
        ("--episodes many", "int() with base 10: 'many'"),
        ("--member 2", "member=2 must be in 0..1"),
        ("--hparams.beta 0.3", "only env can differ from training"),
        ("--epsodes 3", "--epsodes"),
    ],
)
def test_what_cannot_be_rendered_is_refused(run_folder, words, part):
    code, said = command("render", run_folder, *words.split())
    assert code == 2
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert part in error


def test_run_without_a_checkpoint_is_refused(run_folder, tmp_path):
    shutil.copy(run_folder / "config.json", tmp_path)
    code, said = command("render", tmp_path)
    assert code == 2
    assert "there is no checkpoint that can be read" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json"]


def test_saved_run_is_played_on_perturbed_maps(run_folder):
    asked = ["--episodes", "2", "--maps", "2", "--walls", "3"]
    code, said = command("robustness", run_folder, *asked)
    assert code == 0, said
    heading = ["walls", "return", "goals", "score", "arrive"]
    assert any(line.split() == heading for line in said.splitlines())
    found = json.loads((run_folder / "robustness.json").read_text())
    assert [(r["seed"], r["walls"]) for r in found["records"]] == [
        (seed, walls) for seed in (0, 1) for walls in range(4)
    ]
    assert found["config"] == {"episodes": 2, "maps": 2, "walls": 3}
    for name in ("robustness.png", "robustness_maps.png"):
        assert (run_folder / name).stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--episodes 0", "episodes=0 must be at least 1"),
        ("--walls 60", "k="),
        ("--map 2", "--maps"),
    ],
)
def test_maps_that_cannot_be_played_are_refused_in_one_line(run_folder, words, message):
    code, said = command("robustness", run_folder, *words.split())
    assert code == 2
    assert message in said and said.count("\n") == 1
