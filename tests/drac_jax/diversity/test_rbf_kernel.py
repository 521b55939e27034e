import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drac_jax.diversity import rbf_kernel

SHAPE = (5, 3, 2)  # n, B, A


def particles(seed: int, shape: tuple[int, ...] = SHAPE) -> jax.Array:
    return jax.random.uniform(jax.random.key(seed), shape, minval=-1.0)


def by_hand(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute k [B, n, m], its gradient with respect to x_i [B, n, m, A], and gamma [B]."""
    difference = np.stack([x[:, None, b] - y[None, :, b] for b in range(x.shape[1])])
    squared = np.square(difference).sum(axis=-1)
    variance = squared.mean(axis=(1, 2)) / 2.0 / (2.0 * np.log(len(x) + 1.0))
    gamma = 1.0 / (1e-8 + 2.0 * variance)
    k = np.exp(-gamma[:, None, None] * squared)
    return k, -2.0 * gamma[:, None, None, None] * k[..., None] * difference, gamma


seeds = st.integers(0, 2**16)
few = settings(max_examples=20, deadline=None)


@few
@given(seeds)
def test_kernel_of_a_set_with_itself_is_symmetric_with_ones_on_the_diagonal(seed):
    x = particles(seed)
    k = np.asarray(rbf_kernel.rbf(x, x).kernel)
    np.testing.assert_allclose(k, np.swapaxes(k, 1, 2), atol=1e-6)
    np.testing.assert_allclose(np.diagonal(k, axis1=1, axis2=2), 1.0, atol=1e-5)
    assert (k > 0.0).all() and (k <= 1.0).all()


@few
@given(seeds)
def test_swapping_the_sets_transposes_the_kernel(seed):
    x, y = particles(seed), particles(seed + 1)
    k, swapped = rbf_kernel.rbf(x, y).kernel, rbf_kernel.rbf(y, x).kernel
    np.testing.assert_allclose(k, jnp.swapaxes(swapped, 1, 2), atol=1e-5)


@few
@given(seeds, st.floats(0.1, 1e3))
def test_kernel_knows_neither_place_nor_scale(seed, scale):
    x, y = particles(seed), particles(seed + 1)
    k = rbf_kernel.rbf(x, y).kernel
    np.testing.assert_allclose(rbf_kernel.rbf(x + 10.0, y + 10.0).kernel, k, atol=1e-4)
    np.testing.assert_allclose(rbf_kernel.rbf(scale * x, scale * y).kernel, k, atol=1e-4)


@few
@given(seeds)
def test_direction_is_the_sum_by_hand_and_its_gradient_is_that_of_autodiff(seed):
    x, y, score = particles(seed), particles(seed + 1), particles(seed + 2)
    k, grad, gamma = by_hand(np.asarray(x), np.asarray(y))
    ours = rbf_kernel.rbf(x, y)
    np.testing.assert_allclose(ours.kernel, k, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ours.gamma, gamma, rtol=1e-4)
    total = np.einsum("bij,iba->jba", k, score) + grad.sum(axis=1).swapaxes(0, 1)
    np.testing.assert_allclose(rbf_kernel.direction(ours, score), total / 5, rtol=1e-4, atol=1e-4)
    # The kernel's derivative by autodiff, summed over all pairs of x_i.
    pulled = jax.grad(lambda x: rbf_kernel.rbf(x, y).kernel.sum())(x)
    np.testing.assert_allclose(pulled, grad.sum(axis=2).swapaxes(0, 1), rtol=1e-4, atol=1e-4)


def test_divergence_is_that_of_the_direction():
    """Where a particle alone moves, with the width of the kernel and the scores of all held."""
    with jax.enable_x64(True):
        x, matrix = (jnp.asarray(particles(i, s), float) for i, s in enumerate([(4, 1, 3), (3, 3)]))
        k = rbf_kernel.rbf(x, x)
        score = x @ matrix

        def moved(point: jax.Array, i: int) -> jax.Array:
            """Evaluate the direction at `point` under all particles but the i-th."""
            others = jnp.delete(x[:, 0], i, axis=0)
            weights = jnp.exp(-k.gamma * jnp.square(others - point).sum(axis=-1))[:, None]
            pulls = weights * jnp.delete(score[:, 0], i, axis=0)
            return (pulls - 2.0 * k.gamma * weights * (others - point)).sum(axis=0) / 3.0

        traces = [jnp.trace(jax.jacobian(moved)(x[i, 0], i)) for i in range(4)]
        of_score, of_kernel = rbf_kernel.divergence(k, score)
        np.testing.assert_allclose((of_score + of_kernel)[:, 0], traces, rtol=1e-10)


@pytest.mark.parametrize("together", [slice(None), slice(2)], ids=["all", "two"])
def test_coincident_particles_are_finite_with_finite_gradients(together):
    x = particles(0).at[together].set(0.3)

    def total(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        k = rbf_kernel.rbf(x, x)
        parts = (rbf_kernel.direction(k, x), *rbf_kernel.divergence(k, x))
        return sum(part.sum() for part in parts), k

    (value, k), grad = jax.value_and_grad(total, has_aux=True)(x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((value, k, grad)))


def test_gradient_passes_by_the_bandwidth():
    x = particles(1)
    assert (jax.grad(lambda x: rbf_kernel.rbf(x, x).gamma.sum())(x) == 0.0).all()


def test_width_is_that_of_gamma():
    k = rbf_kernel.rbf(particles(1), particles(2))
    np.testing.assert_allclose(
        1.0 / (1e-8 + 2.0 * rbf_kernel.width(k.gamma) ** 2), k.gamma, rtol=1e-5
    )
