"""Statistics over seeds against numbers that are known."""

import numpy as np
import pytest

from drac_jax.measures.seed_statistics import estimate, interval, iqm, mean


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ([3.0], 3.0),
        ([0.0, 0.0, 6.0], 2.0),  # a quarter of three is none
        ([-9.0, 1.0, 3.0, 99.0], 2.0),
        ([-9.0, 1.0, 2.0, 6.0, 99.0], 3.0),
        ([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 100.0], 5.5),
    ],
)
def test_iqm_leaves_out_a_quarter_at_either_end(values, answer):
    assert iqm(values) == pytest.approx(answer)


def test_iqm_is_over_the_first_axis():
    np.testing.assert_allclose(iqm([[1.0, 5.0], [3.0, 5.0]]), [2.0, 5.0])


def test_interval_of_two_seeds_reaches_from_one_to_the_other():
    """A resample is the lower one twice, or the upper, in a quarter of the cases each."""
    assert interval([1.0, 2.0], mean) == (1.0, 2.0)


def test_interval_of_the_mean_of_many_is_that_of_the_normal_law():
    values = np.random.default_rng(1).normal(10.0, 2.0, 400)
    low, high = interval(values, mean)
    half = 1.96 * values.std() / np.sqrt(400)
    np.testing.assert_allclose([low, high], values.mean() + np.array([-half, half]), atol=0.03)


def test_interval_is_the_same_every_time_and_of_each_column_alone():
    values = np.random.default_rng(2).normal(size=(5, 3))
    low, high = interval(values, iqm)
    np.testing.assert_array_equal(interval(values, iqm), (low, high))
    assert low.shape == high.shape == (3,)
    assert (low <= iqm(values)).all() and (iqm(values) <= high).all()


def test_one_seed_has_no_interval():
    assert interval([[1.0, 2.0]], mean) is None
    assert estimate([1.5], mean) == (1.5, None)


def test_seeds_that_agree_have_no_interval():
    assert estimate([4, 4, 4], iqm) == (4.0, None)


def test_estimate_lies_in_its_interval():
    value, (low, high) = estimate([0.0, 1.0, 1.0, 1.0, 0.5], iqm)
    assert value == pytest.approx(2.5 / 3)
    assert 0.0 <= low < value < high <= 1.0
