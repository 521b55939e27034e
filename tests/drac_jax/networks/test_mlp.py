import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.networks.mlp import MLP, PartsDense, in_parts, uniform_fan_in

SHAPES = [
    [(4, 3), (4, 2)],
    [(4, 3), (6, 4, 2)],
    [(6, 4, 2), (4, 3)],
    [(3,), (5, 2)],
    [(3,), (2,), (4,)],
    [(4, 3)],
]


def random_parts(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def concatenate(parts: list[np.ndarray]) -> np.ndarray:
    lead = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return np.concatenate([np.broadcast_to(p, (*lead, p.shape[-1])) for p in parts], axis=-1)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_layer_of_parts_is_the_layer_of_their_concatenation(shapes):
    parts = random_parts(shapes)
    params = PartsDense(8).init(jax.random.key(0), *parts)
    kernel, bias = params["params"]["kernel"], params["params"]["bias"]
    expected = concatenate(parts) @ np.asarray(kernel) + np.asarray(bias)
    np.testing.assert_allclose(PartsDense(8).apply(params, *parts), expected, rtol=1e-5, atol=1e-6)


def test_gradient_of_parts_is_that_of_their_concatenation():
    parts = random_parts([(4, 3), (6, 4, 2)])
    params = PartsDense(8).init(jax.random.key(0), *parts)

    def loss(params: dict, *parts: np.ndarray) -> jax.Array:
        return jnp.square(PartsDense(8).apply(params, *parts)).sum()

    ours, whole = jax.grad(loss)(params, *parts), jax.grad(loss)(params, concatenate(parts))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4), ours, whole)


@pytest.mark.parametrize("fan_in", [1, 16, 400])
def test_initial_values_are_uniform_within_the_inverse_root_of_fan_in(fan_in):
    bound = fan_in**-0.5
    draws = np.asarray(uniform_fan_in(fan_in)(jax.random.key(0), (100, 100)))
    assert np.abs(draws).max() <= bound
    assert np.abs(draws).max() > 0.99 * bound
    np.testing.assert_allclose(draws.mean(), 0.0, atol=0.02 * bound)
    np.testing.assert_allclose(draws.std(), bound / np.sqrt(3.0), rtol=0.02)


def test_every_layer_counts_all_its_inputs_as_fan_in():
    params = MLP((64, 64, 50)).init(jax.random.key(0), jnp.zeros(10), jnp.zeros(6))["params"]
    for name, fan_in in {"PartsDense_0": 16, "PartsDense_1": 64, "PartsDense_2": 64}.items():
        layer, bound = params[name], fan_in**-0.5
        assert layer["kernel"].shape[0] == fan_in
        for values in layer.values():
            assert 0.8 * bound < jnp.abs(values).max() <= bound


@pytest.mark.parametrize("rows", [1, 8, 11, 1000])
def test_in_parts_is_all_at_once(rows):
    """Of 6 samples of 4 states: one, two, two and six at a time."""
    z, obs = random_parts([(6, 4, 2), (4, 3)])
    network = MLP((8, 2))
    params = network.init(jax.random.key(0), obs, z)

    def total(params, rows):
        out = in_parts(lambda z: (z, network.apply(params, obs, z)), z, rows)
        return jnp.sin(out[1]).sum(), out

    (_, out), grads = jax.value_and_grad(total, has_aux=True)(params, rows)
    expected = jax.grad(lambda p: jnp.sin(network.apply(p, obs, z)).sum())(params)
    np.testing.assert_array_equal(out[0], z)
    np.testing.assert_allclose(out[1], network.apply(params, obs, z), rtol=1e-6, atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), grads, expected
    )
