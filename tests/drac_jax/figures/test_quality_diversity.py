"""Methods at several temperatures: rows, hypervolumes and the picture."""

import numpy as np
import pytest

from drac_jax.figures import method_table, quality_diversity


def result(seed: int, beta: float, returns: float, diversity: float) -> dict:
    return {
        "seed": seed,
        "beta": beta,
        "eval/return": returns,
        "eval/diversity": diversity,
    }


# Seed 0 of `good`: (4, 1) and (2, 3), a staircase over the worst point (0, 0) of `bad`.
METHODS = {
    "good": [result(0, 0.2, 4.0, 1.0), result(0, 0.8, 2.0, 3.0), result(1, 0.2, 5.0, 2.0)],
    "bad": [result(0, 0.2, 0.0, 0.0), result(0, 0.8, 1.0, 1.0)],
}


def test_hypervolume_of_a_seed_is_over_its_temperatures_and_above_the_worst_of_all():
    assert quality_diversity.hypervolumes(METHODS) == {"good": [8.0, 10.0], "bad": [1.0]}


def test_members_are_parted_by_temperature():
    parted = method_table.by_setting(METHODS)
    assert [(name, len(seeds)) for name, seeds in parted.items()] == [
        ("good, beta 0.2", 2),
        ("good, beta 0.8", 1),
        ("bad, beta 0.2", 1),
        ("bad, beta 0.8", 1),
    ]


def test_method_without_a_sweep_is_one_row():
    seeds = [{"seed": i, "eval/return": float(i)} for i in range(3)]
    assert method_table.by_setting({"sac": seeds}) == {"sac": seeds}


def test_table_has_a_row_per_method():
    heading, *rows = quality_diversity.table(METHODS)
    assert heading == ["method", "seeds", "hypervolume"]
    assert [row[:2] for row in rows] == [["good", "2"], ["bad", "1"]]
    assert rows[0][2].startswith("9.00")


def test_picture_is_drawn(tmp_path):
    quality_diversity.draw(METHODS, "levels", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


@pytest.mark.parametrize("missing", ["eval/diversity", None])
def test_is_measured_where_every_member_has_a_diversity(missing):
    seeds = [{k: v for k, v in seed.items() if k != missing} for seed in METHODS["bad"]]
    assert quality_diversity.is_measured({"bad": seeds}) == (missing is None)
    assert np.isfinite(METHODS["bad"][0]["eval/return"])
