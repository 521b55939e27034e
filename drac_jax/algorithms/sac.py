"""SAC: soft actor-critic, the unimodal baseline.

Each update, on a batch of transitions:
  1. sample an action at the next observations and one at the observations;
  2. critics: regress Q_i(s, a) on y = r + gamma * discount * (min_i Q'_i(s', a') - alpha log pi);
  3. target critics: follow by tau;
  4. actor: minimise alpha log pi(a | s) - min_i Q_i(s, a);
  5. alpha: minimise -alpha (log pi + target entropy), with the log pi of step 4.

Source: arXiv 1812.05905, as the reference implementation of arXiv 2511.01374 has it.
Differences: none.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from drac_jax.actors.gaussian_actor import Gaussian
from drac_jax.algorithms.agent import acting, init_networks
from drac_jax.networks import coefficient, critics, optim
from drac_jax.types import Algorithm, Metrics, Params, Trainable, Transition


@struct.dataclass
class SacHParams:
    """What a sweep may vary: any of these may be traced."""

    actor_lr: float = 3e-4  # Adam learning rate
    critic_lr: float = 3e-4  # Adam learning rate
    alpha_lr: float = 3e-4  # Adam learning rate of alpha; 0 fixes it
    gamma: float = 0.99  # discount per env step
    tau: float = 0.005  # Polyak fraction per update, of the target critics
    target_entropy: float = -2.0  # nats; the paper's is -A, and +1 in its mazes
    alpha_init: float = 0.2  # first weight of the entropy


class SacAgent(NamedTuple):
    """Everything an update changes, and the hyperparameters it reads."""

    actor: Trainable
    critic: Trainable
    target_critic: Params
    alpha: Trainable  # of the free parameter w; alpha = duals.value(w)
    hparams: SacHParams


class SacNetworks(NamedTuple):
    """The static parts of an update."""

    actor: Gaussian
    critic: critics.TwinCritic


def make_sac(actor: Gaussian, critic: critics.TwinCritic = critics.PERCEPTRONS) -> Algorithm:
    """Make SAC of a squashed Gaussian actor and critics."""
    nets = SacNetworks(actor, critic)

    def init(key: jax.Array, hparams: SacHParams, obs_size: int) -> SacAgent:
        return init_agent(key, nets, hparams, obs_size)

    def decide(agent: SacAgent, obs: jax.Array, eps: jax.Array) -> jax.Array:
        return actor.sample(agent.actor.params, obs, eps)[0]

    def mode(agent: SacAgent, obs: jax.Array) -> jax.Array:
        return jnp.tanh(actor.moments(agent.actor.params, obs)[0])

    def update(
        agent: SacAgent, minibatches: Transition, key: jax.Array
    ) -> tuple[SacAgent, Metrics]:
        batch = jax.tree.map(lambda x: x[0], minibatches)
        return update_step(agent, nets, batch, actor.latent(key, (2, *batch.reward.shape)))

    act, laws = acting(actor.latent, decide), ("normal",)
    return Algorithm(init, act, mode, update, latent=actor.latent, decide=decide, laws=laws)


def init_agent(key: jax.Array, nets: SacNetworks, hparams: SacHParams, obs_size: int) -> SacAgent:
    """Draw the networks, and start what else there is."""
    networks = init_networks(key, nets.actor, nets.critic, hparams, obs_size)
    return SacAgent(
        actor=networks.actor,
        critic=networks.critic,
        target_critic=networks.target_critic,
        alpha=optim.init(coefficient.parameter(networks.hparams.alpha_init)),
        hparams=networks.hparams,
    )


def update_step(
    agent: SacAgent, nets: SacNetworks, batch: Transition, eps: jax.Array
) -> tuple[SacAgent, Metrics]:
    """Take one update. batch: [B, ...]; eps: [2, B, A], that of the next observations first."""
    hp = agent.hparams
    alpha = coefficient.value(agent.alpha.params)

    next_action, next_log_prob = nets.actor.sample(agent.actor.params, batch.next_obs, eps[0])
    next_q = nets.critic.apply(agent.target_critic, batch.next_obs, next_action).min(axis=-1)
    target = critics.td_target(batch, hp.gamma, next_q - alpha * next_log_prob)
    critic, critic_loss, q = critics.regress(agent.critic, nets.critic, batch, target, hp.critic_lr)
    target_critic = critics.polyak(agent.target_critic, critic.params, hp.tau)

    actor_grad = jax.value_and_grad(actor_loss, has_aux=True)
    (loss, log_prob), grads = actor_grad(
        agent.actor.params, critic.params, nets, batch.obs, eps[1], alpha
    )
    actor = optim.adam(agent.actor, grads, hp.actor_lr)

    excess = -log_prob - hp.target_entropy
    alpha_grad = jax.grad(coefficient.loss)(agent.alpha.params, excess)
    dual = optim.adam(agent.alpha, alpha_grad, hp.alpha_lr)

    metrics = {
        "critic/loss": critic_loss,
        "critic/q": q.mean(),
        "actor/loss": loss,
        "actor/entropy": -log_prob,
        "alpha/value": coefficient.value(dual.params),
    }
    return SacAgent(actor, critic, target_critic, dual, hp), metrics


def actor_loss(
    params: Params,
    critic_params: Params,
    nets: SacNetworks,
    obs: jax.Array,
    eps: jax.Array,
    alpha: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Compute alpha log pi - min_i Q_i, mean over the batch, and the mean log pi."""
    action, log_prob = nets.actor.sample(params, obs, eps)
    q = nets.critic.apply(critic_params, obs, action).min(axis=-1)
    return (alpha * log_prob - q).mean(), log_prob.mean()
