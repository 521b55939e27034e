"""What an update costs, in FLOPs that XLA counts: no clock, so no noise."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from drac_jax import all_pairs, amortized, make_drac, paired
from drac_jax.actors import stein_start
from drac_jax.algorithms import DracHParams, S2acHParams, s2ac
from drac_jax.networks import critics
from drac_jax.types import Transition

OBS, ACTION, BATCH, HIDDEN = 27, 8, 256, 256


def flops_of_update(diversity) -> float:
    algorithm = make_drac(amortized(ACTION), diversity)
    init = partial(algorithm.init, hparams=DracHParams(), obs_size=OBS)
    agent = jax.eval_shape(init, jax.random.key(0))
    obs, action, scalar = (jnp.zeros((1, BATCH, *s)) for s in ((OBS,), (ACTION,), ()))
    batch = Transition(obs, action, scalar, scalar, obs)
    return jax.jit(algorithm.update).lower(agent, batch, jax.random.key(1)).cost_analysis()["flops"]


@pytest.fixture(scope="module")
def flops():
    return {"paired": flops_of_update(paired()), "all_pairs": flops_of_update(all_pairs())}


def test_all_pairs_takes_less_than_half_of_paired(flops):
    assert flops["all_pairs"] < 0.47 * flops["paired"]


def test_merged_forward_keeps_the_backward_pass_to_the_policy_half(flops):
    """Count the hidden layers' multiplications: the merged pass has 2 K B rows, its gradient K B.

    Of one row: 2 H^2 forward and twice that backward; critics: the target and the actor's Q
    forward, the latter's input gradient, and the regression with both gradients.
    """
    row = 2 * HIDDEN**2 * BATCH
    actor = (2 * 17 + 2 * 17) * row
    critics = 2 * (1 + 2 + 3) * row
    assert 1.0 < flops["paired"] / (actor + critics) < 1.25


def test_gradient_through_a_stein_step_evaluates_no_second_derivative_of_q():
    """Critics of ReLU have none. Count the hidden layer's multiplications of both critics: the
    score and the last Q, each forward and back to the action."""
    nets = s2ac.S2acNetworks(stein_start(ACTION), critics.twin_critic(), svgd_steps=1)
    init = partial(s2ac.init_agent, nets=nets, hparams=S2acHParams(), obs_size=OBS)
    agent = jax.eval_shape(init, jax.random.key(0))
    obs, noise = jnp.zeros((BATCH, OBS)), jnp.zeros((10, BATCH, ACTION))

    def grad(agent: s2ac.S2acAgent) -> tuple:
        critic, hparams = agent.critic.params, agent.hparams
        of_loss = jax.grad(s2ac.actor_loss, has_aux=True)
        return of_loss(agent.actor.params, critic, nets, obs, noise, hparams)

    flops = jax.jit(grad).lower(agent).cost_analysis()["flops"]
    assert 1.0 < flops / (2 * 2 * 2 * 10 * BATCH * 2 * HIDDEN**2) < 1.25
