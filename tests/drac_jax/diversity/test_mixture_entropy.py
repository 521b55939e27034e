import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.diversity import mixture_entropy

estimate = jax.jit(mixture_entropy.estimate, static_argnums=2)


def gaussian_entropy(scales: np.ndarray) -> float:
    return 0.5 * len(scales) * (1.0 + math.log(2.0 * math.pi)) + float(np.log(scales).sum())


def test_one_component_of_gaussian_samples_has_the_gaussians_entropy():
    scales = np.array([0.1, 1.0, 3.0], np.float32)
    samples = scales * jax.random.normal(jax.random.key(0), (4, 4000, 3))
    ours = estimate(samples, jax.random.key(1), 1)
    np.testing.assert_allclose(ours, gaussian_entropy(scales), atol=0.06)


def test_separate_clusters_add_the_entropy_of_their_weights():
    centres = jnp.array([[-5.0, 0.0], [0.0, 5.0], [5.0, 0.0], [0.0, 0.0]])
    which = jax.random.choice(jax.random.key(0), 4, (8, 2000), p=jnp.array([0.1, 0.2, 0.3, 0.4]))
    noise = 0.1 * jax.random.normal(jax.random.key(1), (8, 2000, 2))
    ours = estimate(centres[which] + noise, jax.random.key(2), 4)
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    expected = gaussian_entropy(np.array([0.1, 0.1])) - (weights * np.log(weights)).sum()
    np.testing.assert_allclose(np.median(ours), expected, atol=0.05)


def test_estimate_follows_the_scale_of_the_samples():
    samples = jax.random.normal(jax.random.key(0), (3, 200, 2))
    unscaled, scaled = (estimate(c * samples, jax.random.key(1), 3) for c in (1.0, 0.1))
    np.testing.assert_allclose(unscaled - scaled, 2.0 * math.log(10.0), atol=1e-2)


@pytest.mark.heavy
@pytest.mark.parametrize("size", [1, 3, 17])
@pytest.mark.parametrize("components", [1, 3, 8])
def test_degenerate_samples_give_a_finite_estimate(size, components):
    """Dimensions that are constant, clipped, or copies of each other, and all samples the same."""
    normal = jax.random.normal(jax.random.key(0), (40, size))
    samples = jnp.stack(
        [
            jnp.ones((40, size)),
            normal.at[:, 0].set(1.0),
            jnp.clip(10.0 * normal, -1.0, 1.0),
            jnp.repeat(normal[:, :1], size, axis=1),
        ]
    )
    ours = estimate(samples, jax.random.key(1), components)
    assert np.isfinite(ours).all()
    # The floor of the variances bounds every dimension from below.
    assert (ours >= size * gaussian_entropy(np.array([1e-3])) - 0.01).all()


def test_whitener_inverts_and_holds_where_rounding_breaks_a_factorisation():
    factor = jax.random.normal(jax.random.key(0), (5, 4, 4))
    covariance = factor @ jnp.swapaxes(factor, -1, -2) + jnp.eye(4)
    whitener, log_volume = mixture_entropy.whiten(covariance)
    unit = whitener @ covariance @ jnp.swapaxes(whitener, -1, -2)
    np.testing.assert_allclose(unit, np.broadcast_to(np.eye(4), unit.shape), atol=1e-4)
    np.testing.assert_allclose(log_volume, 0.5 * np.linalg.slogdet(covariance)[1], atol=1e-4)
    indefinite = jnp.array([[1.0, 1.0], [1.0, 1.0 - 1e-6]])
    assert np.isfinite(mixture_entropy.whiten(indefinite)[0]).all()


@pytest.mark.parametrize("components", [0, 11])
def test_components_that_the_samples_cannot_make_are_refused(components):
    with pytest.raises(ValueError, match=f"components={components} must be in 1..10"):
        mixture_entropy.estimate(jnp.zeros((2, 10, 3)), jax.random.key(0), components)
