"""D on a fraction of the batch: what it changes, and what it leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax import all_pairs, amortized
from drac_jax.algorithms import DracHParams, drac
from drac_jax.networks import critics
from drac_jax.types import Transition

BATCH, STATES = 8, 3
WHOLE = drac.DracNetworks(amortized(2, 4, (8, 8)), critics.twin_critic((8, 8)), all_pairs(4, 2))
PART = WHOLE._replace(fraction=STATES / BATCH)


@pytest.fixture(scope="module")
def drawn():
    keys = jax.random.split(jax.random.key(0), 6)
    obs, next_obs = (jax.random.normal(key, (BATCH, 3)) for key in keys[:2])
    action = jax.random.uniform(keys[2], (BATCH, 2))
    batch = Transition(obs, action, jax.random.normal(keys[3], (BATCH,)), jnp.ones(BATCH), next_obs)
    agent = jax.jit(lambda key: drac.init_agent(key, WHOLE, DracHParams(), 3))(keys[4])
    return agent, batch, WHOLE.actor.latent(keys[5], (2, 4, BATCH))


def test_loss_and_gradient_are_the_mean_q_of_all_and_the_mean_d_of_some(drawn):
    agent, batch, latents = drawn
    alpha = jnp.float32(0.7)

    def expected(params):
        actions = WHOLE.actor.apply(params, batch.obs, latents[1])
        q, d = drac.value_and_diversity(agent.critic.params, WHOLE, batch.obs, actions)
        return -(q.mean() + alpha * d[:STATES].mean())

    @jax.jit
    def ours(params):
        _, actions, pull_back = drac.sample_for(PART, params, batch, latents)
        assert actions.first.shape == (2, BATCH, 2)
        assert actions.rest.shape == (2, STATES, 2)
        grad = jax.value_and_grad(drac.actor_loss, has_aux=True)
        (loss, _), grads = grad(actions, agent.critic.params, PART, batch.obs, alpha)
        return loss, pull_back(grads)

    loss, gradient = ours(agent.actor.params)
    expected_loss, expected_gradient = jax.jit(jax.value_and_grad(expected))(agent.actor.params)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        gradient,
        expected_gradient,
    )


def test_the_target_and_so_the_critics_have_d_of_every_state(drawn):
    agent, batch, latents = drawn
    whole, part = (
        jax.jit(lambda agent, nets=nets: drac.update_step(agent, nets, batch, latents))(agent)[0]
        for nets in (WHOLE, PART)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        whole.critic.params,
        part.critic.params,
    )
    assert float(whole.alpha.params) != 0.0
