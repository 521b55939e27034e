import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drac_jax.networks import coefficient, optim


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.floats(2.0**-14, 2.0**14, width=32))
def test_parameter_inverts_value(alpha):
    np.testing.assert_allclose(coefficient.value(coefficient.parameter(alpha)), alpha, rtol=1e-5)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.floats(-80.0, 1e6, width=32))
def test_alpha_is_positive_with_a_finite_positive_slope(w):
    value, slope = jax.value_and_grad(coefficient.value)(jnp.float32(w))
    assert value > 0.0
    assert 0.0 < slope <= 1.0


def test_alpha_is_smooth_at_zero():
    values, slopes = jax.vmap(jax.value_and_grad(coefficient.value))(jnp.array([-1e-4, 0.0, 1e-4]))
    np.testing.assert_allclose(values, 1.0, atol=2e-4)
    np.testing.assert_allclose(slopes, 1.0, atol=2e-4)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 5.0])
def test_alpha_grows_while_the_excess_is_negative(alpha):
    w = coefficient.parameter(alpha)
    for excess, direction in ((-0.3, 1.0), (0.3, -1.0)):
        grad = jax.grad(coefficient.loss)(w, jnp.float32(excess))
        moved = optim.adam(optim.init(w), grad, 5e-3).params - w
        np.testing.assert_allclose(moved, direction * 5e-3, rtol=1e-3)


def test_no_gradient_flows_into_the_excess():
    assert jax.grad(coefficient.loss, argnums=1)(jnp.float32(0.5), jnp.float32(0.3)) == 0.0
