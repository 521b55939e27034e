"""The flow actor against its definition, step by step in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.actors import flow
from drac_jax.actors.flow_actor import OPEN
from drac_jax.networks.mlp import Style

STEPS = 3


def dense(params: dict, x: np.ndarray) -> np.ndarray:
    kernel, bias = (np.asarray(params["params"][name], np.float64) for name in ("kernel", "bias"))
    return x @ kernel + bias


@pytest.mark.parametrize("hidden", [(8,), (8, 6)])
def test_actions_are_those_of_gated_euler_steps(hidden):
    actor = flow(2, STEPS, hidden)
    params = jax.tree.map(lambda x: 2.0 * x, actor.init(jax.random.key(0), 4))
    obs = np.asarray(jax.random.normal(jax.random.key(1), (5, 4)), np.float64)
    x = np.asarray(actor.latent(jax.random.key(2), (5,)), np.float64)
    ours = actor.apply(params, jnp.asarray(obs), jnp.asarray(x))
    names = sorted(params["rest"]["params"])
    layers = [{"params": params["rest"]["params"][name]} for name in names]
    for step in range(STEPS):
        told = np.broadcast_to(np.eye(STEPS)[step], (5, STEPS))
        out = dense(params["first"], np.concatenate([obs, x, told], axis=1))
        for layer in layers:
            out = dense(layer, np.maximum(out, 0.0))
        candidate, gate = out[:, :2], out[:, 2:]
        x = x + (candidate - x) / (1.0 + np.exp(-gate - OPEN)) / STEPS
    np.testing.assert_allclose(ours, np.tanh(x), atol=2e-6)


def test_samples_of_one_observation_share_its_part():
    actor = flow(2, STEPS, (8, 8))
    params = actor.init(jax.random.key(0), 4)
    obs, z = jnp.ones((5, 4)), actor.latent(jax.random.key(1), (6, 5))
    together = actor.apply(params, obs, z)
    assert together.shape == (6, 5, 2)
    alone = actor.apply(params, obs[3], z[2, 3])
    np.testing.assert_allclose(together[2, 3], alone, atol=1e-6)


def test_layer_norm_has_its_parameters():
    actor = flow(2, STEPS, (8, 8), Style(layer_norm=True))
    params = actor.init(jax.random.key(0), 4)
    assert "activation" in params
    assert actor.apply(params, jnp.ones((5, 4)), jnp.zeros((5, 2))).shape == (5, 2)
