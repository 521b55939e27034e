"""Evaluation metrics against the reference's functions."""

import numpy as np
import pytest

from drac_jax.measures import goal_reaching
from tests.support import reference

CASES = range(24)
EXACT = {"rtol": 0.0, "atol": 1e-12}


@pytest.fixture(scope="module")
def data():
    return reference.load("metrics")


@pytest.mark.parametrize("i", CASES)
def test_modes_and_score_are_the_references(data, i):
    goals = data["modes_reached"][i][: data["modes_episodes"][i]]
    num_goals = int(data["modes_num_goals"][i])
    counts = data["modes_counts"][i][:num_goals]
    np.testing.assert_array_equal(goal_reaching.arrivals(goals, num_goals), counts)
    assert goal_reaching.reachable_modes(goals, num_goals) == data["modes_reachable"][i]
    score = goal_reaching.multi_goal_score(goals, num_goals)
    np.testing.assert_allclose(score, data["modes_score"][i], **EXACT)


@pytest.mark.parametrize("i", CASES)
def test_robustness_is_exact_and_beside_it_the_references(data, i):
    groups = data["sr_reached"][i]
    num_goals, removed = int(data["sr_num_goals"][i]), int(data["sr_num_removed"][i])
    exact = goal_reaching.removal_sr5(groups, num_goals, removed)
    theirs = goal_reaching.removal_sr5_reference(groups, num_goals, removed)
    np.testing.assert_allclose(exact, data["sr_removal_exact"][i], **EXACT)
    np.testing.assert_allclose(theirs, data["sr_removal"][i], **EXACT)
    np.testing.assert_allclose(goal_reaching.obstacle_sr5(groups), data["sr_obstacle"][i], **EXACT)


def test_returns_are_summarised_with_the_population_deviation(data):
    returns = data["ret_values"]
    summary = goal_reaching.episode_summary(
        returns, np.ones(len(returns)), np.zeros(len(returns)), 0
    )
    np.testing.assert_allclose(summary["eval/return"], data["ret_mean"], **EXACT)
    np.testing.assert_allclose(summary["eval/return_std"], data["ret_std"], **EXACT)


def test_half_the_goals_are_removed_unless_said_otherwise(data):
    groups = data["sr_reached"][0]
    num_goals = int(data["sr_num_goals"][0])
    assert goal_reaching.removal_sr5(groups, num_goals) == goal_reaching.removal_sr5(
        groups, num_goals, num_goals // 2
    )
