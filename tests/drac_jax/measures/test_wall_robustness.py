"""The random obstacle test: how it counts. `runs/test_saved_maze.py` has the command."""

import numpy as np
import pytest

from drac_jax.measures import wall_robustness


def test_modes_and_score_are_of_a_map_and_then_averaged():
    walls = [0, 0, 1, 1]
    # [episodes, maps]: episode i of the batch is on map i % 4.
    first = np.array([[1, 2, 0, 3], [1, 1, 0, 3]])
    goals = np.stack([first.reshape(-1), np.zeros(8, int)])
    labels = [{"seed": 5}, {"seed": 6}]
    returns, lengths = 100.0 * (goals > 0), np.full(goals.shape, 9)
    records = wall_robustness.summarise(labels, returns, lengths, goals, walls, num_goals=4)
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
    assert all(records[2][name] == 0.0 for name in wall_robustness.MEASURES)


@pytest.mark.parametrize(
    ("episodes", "modes", "score"), [(1, 1, 0.25), (5, 4, 0.85), (8, 4, 1.0), (40, 4, 1.0)]
)
def test_ceiling_is_what_so_few_episodes_can_show(episodes, modes, score):
    most = wall_robustness.ceiling(episodes, num_goals=4)
    assert most["eval/reachable_modes"] == modes
    assert most["eval/multi_goal_score"] == pytest.approx(score)
