"""What holds of every reparameterised actor."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.actors import amortized, diffusion, flow, gaussian
from drac_jax.actors.gaussian_actor import log_tanh_slope
from drac_jax.algorithms import drac
from drac_jax.types import Actor, Transition

ACTORS = {
    "amortized": amortized(2, 3, (8,)),
    "amortized, normal latent": amortized(2, 3, (8,), jax.random.normal),
    "diffusion": diffusion(2, 3, (8, 8)),
    "diffusion, recomputed": diffusion(2, 3, (8, 8), remat=True),
    "flow": flow(2, 3, (8, 8)),
}


@pytest.fixture(params=ACTORS)
def actor(request):
    return ACTORS[request.param]


def init(actor: Actor) -> Callable[[jax.Array], Any]:
    """Compile the parameters for 4 observations."""
    return jax.jit(partial(actor.init, obs_size=4))


def test_samples_of_one_forward_pass_are_those_of_two(actor):
    """An accelerator takes the first way, a CPU the second; gradients as well."""
    key, next_key, z_key, params_key = jax.random.split(jax.random.key(0), 4)
    obs, next_obs = jax.random.normal(key, (5, 4)), jax.random.normal(next_key, (5, 4))
    batch = Transition(obs, jnp.zeros((5, 2)), jnp.zeros(5), jnp.ones(5), next_obs)
    latents, params = actor.latent(z_key, (2, 6, 5)), init(actor)(params_key)

    @jax.jit
    def merged(params):
        next_actions, actions, pull_back = drac.sample_merged(actor, params, batch, latents)
        return next_actions, actions, pull_back(jnp.cos(actions))

    @jax.jit
    def apart(params):
        actions, pull_back = jax.vjp(lambda p: actor.apply(p, obs, latents[1]), params)
        next_actions = actor.apply(params, next_obs, latents[0])
        return next_actions, actions, pull_back(jnp.cos(actions))[0]

    (*ours, gradient), (*theirs, expected) = merged(params), apart(params)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradient, expected
    )


def test_every_latent_matters_and_no_action_leaves_the_box(actor):
    params = jax.tree.map(lambda x: 3.0 * x, init(actor)(jax.random.key(0)))
    z = actor.latent(jax.random.key(1), (50,))
    actions = actor.apply(params, jnp.ones(4), z)
    assert (jnp.abs(actions) <= 1.0).all()
    slope = jax.jit(jax.vmap(jax.grad(lambda z: actor.apply(params, jnp.ones(4), z).sum())))(z)
    assert (jnp.abs(slope).max(axis=0) > 0.0).all()


def test_density_of_the_squashed_gaussian_integrates_to_one():
    """Of one dimension: actions on a grid, back to their eps, and the density at each."""
    actor = gaussian(1, (4,))
    params = actor.init(jax.random.key(0), 2)
    mu, log_std = actor.moments(params, jnp.ones(2))
    action = jnp.linspace(-1.0, 1.0, 4002)[1:-1]
    eps = ((jnp.arctanh(action) - mu) / jnp.exp(log_std))[:, None]
    again, log_prob = actor.sample(params, jnp.ones(2), eps)
    np.testing.assert_allclose(again[:, 0], action, atol=1e-5)
    np.testing.assert_allclose(jnp.exp(log_prob).sum() * (action[1] - action[0]), 1.0, atol=2e-3)


def test_slope_of_tanh_is_finite_where_it_saturates():
    u = jnp.array([0.0, 1.0, -30.0, 50.0])
    np.testing.assert_allclose(log_tanh_slope(u)[:2], jnp.log(1.0 - jnp.tanh(u[:2]) ** 2), 1e-5)
    np.testing.assert_allclose(log_tanh_slope(u)[2:], 2 * (np.log(2.0) - np.array([30.0, 50.0])))
