"""The random obstacle test: how it counts, and the command from a saved run to its pictures."""

import json

import numpy as np
import pytest

from drac_jax import robustness
from drac_jax.evaluate import Episodes
from experiments.__main__ import main

TINY = (
    "run pointmaze_simple_amortized --seeds 2 --algorithm.hidden 16 16 "
    "--algorithm.latent-size 4 --train.env-steps 64 --train.epochs 1 --train.num-envs 8 "
    "--train.batch-size 16 --train.learning-starts 16 --eval.episodes 2 --eval.final-episodes 2 "
    "--eval.sr5-groups 1"
)


def episodes_of(goals: np.ndarray) -> Episodes:
    """Episodes that pay 100 on arrival. goals: [members, N]."""
    paths = np.zeros((*goals.shape, 0, 4))
    return Episodes(100.0 * (goals > 0), np.full(goals.shape, 9), goals, goals < 0, paths)


def test_modes_and_score_are_of_a_map_and_then_averaged():
    walls = [0, 0, 1, 1]
    # [episodes, maps]: episode i of the batch is on map i % 4.
    first = np.array([[1, 2, 0, 3], [1, 1, 0, 3]])
    goals = np.stack([first.reshape(-1), np.zeros(8, int)])
    labels = [{"seed": 5}, {"seed": 6}]
    records = robustness.summarise(labels, episodes_of(goals), walls, num_goals=4)
    assert [(r["member"], r["seed"], r["walls"]) for r in records] == [
        (0, 5, 0),
        (0, 5, 1),
        (1, 6, 0),
        (1, 6, 1),
    ]
    assert records[0]["eval/reachable_modes"] == 1.5  # 1 and 2, though both maps saw goal 1
    assert records[0]["eval/multi_goal_score"] == (0.25 + 0.5) / 2
    assert records[0]["eval/arrival_rate"] == 1.0
    assert records[1]["eval/return"] == 50.0
    assert records[1]["eval/reachable_modes"] == 0.5
    assert all(records[2][name] == 0.0 for name in robustness.MEASURES)


@pytest.mark.parametrize(
    ("episodes", "modes", "score"), [(1, 1, 0.25), (5, 4, 0.85), (8, 4, 1.0), (40, 4, 1.0)]
)
def test_ceiling_is_what_so_few_episodes_can_show(episodes, modes, score):
    most = robustness.ceiling(episodes, num_goals=4)
    assert most["eval/reachable_modes"] == modes
    assert most["eval/multi_goal_score"] == pytest.approx(score)


@pytest.mark.heavy
def test_saved_run_is_played_on_perturbed_maps(tmp_path, capsys):
    assert main([*TINY.split(), "--runs-dir", str(tmp_path)]) == 0
    (folder,) = (tmp_path / "pointmaze_simple_amortized").iterdir()
    asked = ["--episodes", "2", "--maps", "2", "--walls", "3"]
    capsys.readouterr()
    assert main(["robustness", str(folder), *asked]) == 0
    table = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["walls", "return", "goals", "score", "arrive"] for line in table)
    found = json.loads((folder / "robustness.json").read_text())
    assert [(r["seed"], r["walls"]) for r in found["records"]] == [
        (seed, walls) for seed in (0, 1) for walls in range(4)
    ]
    assert found["config"] == {"episodes": 2, "maps": 2, "walls": 3}
    for name in ("robustness.png", "robustness_maps.png"):
        assert (folder / name).stat().st_size > 0
    for words, message in (
        (["--episodes", "0"], "episodes=0 must be at least 1"),
        (["--walls", "60"], "k="),
        (["--map", "2"], "--maps"),
    ):
        assert main(["robustness", str(folder), *words]) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1
