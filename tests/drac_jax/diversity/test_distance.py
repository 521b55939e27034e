from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drac_jax.diversity.distance import (
    all_pairs,
    as_beta,
    beta_limits,
    check_beta,
    paired,
    target_diversity,
)
from drac_jax.diversity.pairwise import (
    ARITHMETIC,
    GEOMETRIC,
    LANES,
    blocked_mean,
    mean_of_pairs,
    plain_mean,
)

# Action size: (beta of a uniform policy, largest attainable beta), computed beforehand.
LIMITS = {
    1: (0.445, 0.500),
    2: (0.632, 0.834),
    3: (0.698, 1.03),
    6: (0.762, 1.27),
    8: (0.777, 1.34),
    17: (0.799, 1.39),
    20: (0.801, 1.40),
}
STATES = 20_000


def actions_of(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, shape).astype(np.float32)


def naive_log_distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.log(np.linalg.norm(x - y, axis=-1) + 1e-5)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(2, 7), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_all_pairs_is_the_mean_of_the_double_loop(n, batch, action_size, seed):
    actions = actions_of(seed, n, batch, action_size)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    naive = np.mean([naive_log_distance(actions[i], actions[j]) for i, j in pairs], axis=0)
    np.testing.assert_allclose(jax.jit(all_pairs(n).estimate)(actions), naive, rtol=1e-5, atol=1e-5)


@partial(jax.jit, static_argnums=(0, 1))
def value_and_gradient(form, mean, actions, weight):
    d, pull_back = jax.vjp(lambda a: form(mean, a), actions)
    return d, pull_back(weight)[0]


@pytest.mark.parametrize("mean", [GEOMETRIC, ARITHMETIC], ids=["geometric", "arithmetic"])
@pytest.mark.parametrize("shape", [(2, 3, 1), (5, 6, 3), (6, 2 * LANES, 2), (6, LANES + 8, 8)])
def test_blocks_of_states_are_the_plain_form_in_value_and_gradient(mean, shape):
    """In float64, with samples far apart, close, and coincident."""
    actions = actions_of(1, *shape).astype(np.float64)
    actions[-1, 0], actions[-1, 1] = actions[0, 0], actions[0, 1] + 1e-7
    weight = np.random.default_rng(2).normal(size=shape[1])
    with jax.enable_x64(True):
        ours = value_and_gradient(blocked_mean, mean, jnp.asarray(actions), jnp.asarray(weight))
        plain = value_and_gradient(plain_mean, mean, jnp.asarray(actions), jnp.asarray(weight))
        assert ours[1].dtype == jnp.float64
        for a, b in zip(ours, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("action_size", [2, 100])
def test_products_of_distances_neither_vanish_nor_overflow(action_size):
    close = 1e-20 * actions_of(3, 12, LANES, action_size)
    corners = np.sign(actions_of(4, 12, LANES, action_size))
    for actions in (close, corners):
        ours = value_and_gradient(blocked_mean, GEOMETRIC, actions, np.ones(LANES, np.float32))
        plain = value_and_gradient(plain_mean, GEOMETRIC, actions, np.ones(LANES, np.float32))
        for a, b in zip(ours, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_members_of_a_vmap_have_the_values_and_gradients_of_their_own():
    actions, weight = actions_of(5, 3, 4, 8, 2), np.ones(8, np.float32)
    both = jax.vmap(lambda a: value_and_gradient(blocked_mean, GEOMETRIC, a, weight))(actions)
    for member in range(3):
        alone = value_and_gradient(blocked_mean, GEOMETRIC, actions[member], weight)
        for a, b in zip(both, alone, strict=True):
            np.testing.assert_allclose(a[member], b, rtol=1e-5, atol=1e-6)


def test_what_is_too_large_to_unroll_takes_the_plain_form():
    large = jax.ShapeDtypeStruct((64, 8, 32), jnp.float32)
    jaxpr = jax.make_jaxpr(lambda a: mean_of_pairs(GEOMETRIC, a))(large)
    assert len(jaxpr.eqns) < 1000


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(1, 8), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_paired_is_the_mean_over_disjoint_pairs_without_the_first_sample(
    pairs, batch, action_size, seed
):
    actions = actions_of(seed, 2 * pairs + 1, batch, action_size)
    naive = np.mean(
        [naive_log_distance(actions[1 + k], actions[1 + pairs + k]) for k in range(pairs)], axis=0
    )
    np.testing.assert_allclose(
        jax.jit(paired(pairs).estimate)(actions), naive, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    "diversity",
    [all_pairs(6), all_pairs(5), paired(3)],
    ids=["all_pairs of 6", "all_pairs of 5", "paired"],
)
@pytest.mark.parametrize("coincident", ["two", "all"])
def test_gradient_is_finite_where_samples_coincide(diversity, coincident):
    actions = actions_of(0, diversity.num_samples, 2, 3)
    actions[slice(1, None, 3) if coincident == "two" else slice(None)] = actions[1]
    grad = jax.grad(lambda a: diversity.estimate(a).sum())(actions)
    assert np.isfinite(diversity.estimate(actions)).all()
    assert np.isfinite(grad).all()
    assert (np.abs(grad).sum() == 0.0) == (coincident == "all")


@pytest.fixture(scope="module", params=[2, 8, 17])
def uniform_estimates(request):
    """Estimates [STATES] of both estimators for a uniform policy, and the action size."""
    keys = jax.random.split(jax.random.key(0))
    estimators = (all_pairs(6), paired(8))
    return request.param, *(
        np.asarray(
            d.estimate(jax.random.uniform(key, (d.num_samples, STATES, request.param), minval=-1.0))
        )
        for d, key in zip(estimators, keys, strict=True)
    )


def test_estimators_agree_in_expectation(uniform_estimates):
    _, ours, theirs = uniform_estimates
    standard_error = np.sqrt((ours.var() + theirs.var()) / STATES)
    assert abs(ours.mean() - theirs.mean()) < 4.0 * standard_error


def test_six_samples_have_about_the_variance_of_seventeen(uniform_estimates):
    _, ours, theirs = uniform_estimates
    assert ours.var() <= 1.15 * theirs.var()


def test_uniform_policy_reaches_the_uniform_limit(uniform_estimates):
    action_size, ours, _ = uniform_estimates
    reached = as_beta(ours.mean(), action_size)
    np.testing.assert_allclose(reached, LIMITS[action_size][0], rtol=0.01)


@pytest.mark.parametrize("action_size", LIMITS)
def test_limits_are_those_computed_beforehand(action_size):
    np.testing.assert_allclose(beta_limits(action_size), LIMITS[action_size], rtol=1e-9)


def test_limits_grow_with_the_action_size():
    limits = np.array([beta_limits(size) for size in range(1, 40)])
    assert (np.diff(limits, axis=0) > 0.0).all()


def test_beta_scale_inverts_the_target():
    np.testing.assert_allclose(as_beta(target_diversity(0.37, 5), 5), 0.37, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, -0.2, 0.84, float("nan")])
def test_unattainable_beta_is_refused(beta):
    with pytest.raises(ValueError, match=rf"beta={beta:g} must be in \(0, 0.834\]"):
        check_beta(beta, 2)


def test_beta_between_uniform_and_largest_is_warned_of():
    assert "0.632" in check_beta(0.7, 2)
    assert check_beta(0.6, 2) is None


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: paired(0), "pairs=0"),
        (lambda: all_pairs(1), "num_samples=1"),
        (lambda: all_pairs(6, 7), "q_samples=7"),
        (lambda: all_pairs(6, 0), "q_samples=0"),
    ],
)
def test_too_few_samples_are_refused(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_q_samples_are_part_of_the_samples():
    assert all_pairs(6, 3)[:2] == (6, 3)
    assert paired(8)[:2] == (17, 1)
    assert jnp.shape(paired(8).estimate(actions_of(0, 17, 4, 2))) == (4,)


def test_arithmetic_mean_is_that_of_the_distances():
    actions = actions_of(3, 5, 4, 2)
    far = np.linalg.norm(actions[:, None] - actions[None], axis=-1)
    ours = all_pairs(5, mean=ARITHMETIC).estimate(actions)
    np.testing.assert_allclose(ours, far.sum(axis=(0, 1)) / 20.0, rtol=1e-4)
    ours = paired(2, ARITHMETIC).estimate(actions)
    np.testing.assert_allclose(ours, (far[1, 3] + far[2, 4]) / 2.0, rtol=1e-4)
    assert as_beta(target_diversity(0.4, 5, ARITHMETIC), 5, ARITHMETIC) == pytest.approx(0.4)


@pytest.mark.parametrize(("action_size", "largest"), [(1, 1.0), (2, 1.2071)])
def test_largest_arithmetic_mean_is_that_of_the_corners(action_size, largest):
    assert check_beta(largest - 1e-3, action_size, ARITHMETIC)
    with pytest.raises(ValueError, match=r"must be in \(0, 1"):
        check_beta(largest + 1e-3, action_size, ARITHMETIC)
