"""DrAC: diversity-regularised actor-critic.

Each update, on a batch of transitions:
  1. sample K actions at the next observations and at the observations;
  2. critics: regress Q_i(s, a) on y = r + gamma * discount * (min_i Q'_i(s', a') + alpha D(s'));
  3. target critics: follow by tau;
  4. actor: maximise min_i Q_i(s, a) + alpha D(s) through the sampled actions;
  5. alpha: minimise alpha (D(s) - log(beta sqrt(A))), with the D of step 4.

Source: arXiv 2511.01374, and its reference implementation PneuC/DrAC.
Differences: the samples of step 1 come from the same weights, so an accelerator evaluates both sets
in one forward pass; the mathematics is unchanged.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from drac_jax.algorithms.agent import init_networks, sampling
from drac_jax.diversity.distance import Diversity, as_beta, target_diversity
from drac_jax.networks import coefficient, critics, optim
from drac_jax.types import Actor, Algorithm, Metrics, Params, Trainable, Transition


@struct.dataclass
class DracHParams:
    """What a sweep may vary: any of these may be traced."""

    actor_lr: float = 3e-4  # Adam learning rate
    critic_lr: float = 3e-4  # Adam learning rate
    alpha_lr: float = 5e-3  # Adam learning rate of alpha; 0 fixes it
    gamma: float = 0.99  # discount per env step
    tau: float = 0.005  # Polyak fraction per update, of the target critics
    beta: float = 0.5  # target of exp(D) / sqrt(A), see `check_beta`
    alpha_init: float = 1.0  # first weight of the diversity term


class DracAgent(NamedTuple):
    """Everything an update changes, and the hyperparameters it reads."""

    actor: Trainable
    critic: Trainable
    target_critic: Params
    alpha: Trainable  # of the free parameter w; alpha = duals.value(w)
    hparams: DracHParams


class DracNetworks(NamedTuple):
    """The static parts of an update: what is evaluated, not what is learnt. fraction: of the
    batch's states, at which the actor's loss and alpha's have D evaluated."""

    actor: Actor
    critic: critics.TwinCritic
    diversity: Diversity
    fraction: float = 1.0


class Split(NamedTuple):
    """The policy's samples where D is of the first M states alone. first: [Q, B, A], those for Q
    at all states; rest: [K - Q, M, A], the others at the M states."""

    first: jax.Array
    rest: jax.Array


def make_drac(
    actor: Actor,
    diversity: Diversity,
    critic: critics.TwinCritic = critics.PERCEPTRONS,
    fraction: float = 1.0,
) -> Algorithm:
    """Make DrAC of an actor, a diversity estimator and critics.

    fraction: of the batch's states, the first of them, whose mean D stands for that of all in the
    losses of actor and alpha. Batches are drawn independently, so both means have the same
    expectation. The target needs D of every next state, and has it. Raises ValueError for a
    fraction outside (0, 1].
    """
    if not 0.0 < fraction <= 1.0:
        raise ValueError(f"diversity_fraction={fraction:g} must be in (0, 1]; the paper has 1")
    nets = DracNetworks(actor, critic, diversity, fraction)

    def init(key: jax.Array, hparams: DracHParams, obs_size: int) -> DracAgent:
        return init_agent(key, nets, hparams, obs_size)

    def update(
        agent: DracAgent, minibatches: Transition, key: jax.Array
    ) -> tuple[DracAgent, Metrics]:
        batch = jax.tree.map(lambda x: x[0], minibatches)
        latents = actor.latent(key, (2, diversity.num_samples, *batch.reward.shape))
        return update_step(agent, nets, batch, latents)

    return sampling(actor, critic, init, update)


def init_agent(
    key: jax.Array, nets: DracNetworks, hparams: DracHParams, obs_size: int
) -> DracAgent:
    """Draw the networks, and start what else there is."""
    networks = init_networks(key, nets.actor, nets.critic, hparams, obs_size)
    return DracAgent(
        actor=networks.actor,
        critic=networks.critic,
        target_critic=networks.target_critic,
        alpha=optim.init(coefficient.parameter(networks.hparams.alpha_init)),
        hparams=networks.hparams,
    )


def update_step(
    agent: DracAgent, nets: DracNetworks, batch: Transition, latents: Any
) -> tuple[DracAgent, Metrics]:
    """Take one update. batch: [B, ...]; latents: leaves [2, K, B, ...], those of the next
    observations first."""
    hp = agent.hparams
    alpha = coefficient.value(agent.alpha.params)
    next_actions, actions, pull_back = sample_for(nets, agent.actor.params, batch, latents)

    next_q, next_d = value_and_diversity(agent.target_critic, nets, batch.next_obs, next_actions)
    target = critics.td_target(batch, hp.gamma, next_q + alpha * next_d)
    critic, critic_loss, q = critics.regress(agent.critic, nets.critic, batch, target, hp.critic_lr)
    target_critic = critics.polyak(agent.target_critic, critic.params, hp.tau)

    actor_grad = jax.value_and_grad(actor_loss, has_aux=True)
    (loss, diversity), grads = actor_grad(actions, critic.params, nets, batch.obs, alpha)
    actor = optim.adam(agent.actor, pull_back(grads), hp.actor_lr)

    action_size, mean = batch.action.shape[-1], nets.diversity.mean
    excess = diversity - target_diversity(hp.beta, action_size, mean)
    alpha_grad = jax.grad(coefficient.loss)(agent.alpha.params, excess)
    dual = optim.adam(agent.alpha, alpha_grad, hp.alpha_lr)

    metrics = {
        "critic/loss": critic_loss,
        "critic/q": q.mean(),
        "actor/loss": loss,
        "actor/diversity": diversity,
        "actor/beta_reached": as_beta(diversity, action_size, mean),
        "alpha/value": coefficient.value(dual.params),
    }
    return DracAgent(actor, critic, target_critic, dual, hp), metrics


def sample_for(
    nets: DracNetworks, params: Params, batch: Transition, latents: Any
) -> tuple[jax.Array, Any, Callable[[Any], Params]]:
    """Do as `sample_both` says, or, where D is of a fraction of the states, with a Split of the
    policy's samples."""
    if nets.fraction == 1.0:
        return sample_both(nets.actor, params, batch, latents)
    states = math.ceil(nets.fraction * batch.obs.shape[0])
    q_samples = nets.diversity.q_samples
    next_z, z = (jax.tree.map(lambda leaf, i=i: leaf[i], latents) for i in (0, 1))
    first_z = jax.tree.map(lambda leaf: leaf[:q_samples], z)
    rest_z = jax.tree.map(lambda leaf: leaf[q_samples:, :states], z)

    def sample(params: Params) -> Split:
        first = nets.actor.apply(params, batch.obs, first_z)
        return Split(first, nets.actor.apply(params, batch.obs[:states], rest_z))

    actions, vjp = jax.vjp(sample, params)
    next_actions = nets.actor.apply(params, batch.next_obs, next_z)
    return next_actions, actions, lambda grads: vjp(grads)[0]


def sample_both(
    actor: Actor, params: Params, batch: Transition, latents: Any
) -> tuple[jax.Array, jax.Array, Callable[[jax.Array], Params]]:
    """Sample at next_obs and at obs, from the same weights.

    -> next_actions [K, B, A], actions [K, B, A], and the map from the gradient with respect to
    `actions` to that with respect to `params`. An accelerator does it in one forward pass, to
    launch half as many kernels; a CPU, which has none to launch, would only pay for the copies
    of the residuals: 27.0 ms an update instead of 25.1.
    """
    sample = _sample_apart if jax.default_backend() == "cpu" else sample_merged
    return sample(actor, params, batch, latents)


def sample_merged(
    actor: Actor, params: Params, batch: Transition, latents: Any
) -> tuple[jax.Array, jax.Array, Callable[[jax.Array], Params]]:
    """Do as `sample_both` says in one forward pass of 2 K B rows. No gradient flows into a target,
    so the residuals of its half are dropped: the backward pass has K B rows, as if run apart."""

    def sample(obs: jax.Array, z: Any) -> tuple[jax.Array, Callable]:
        return jax.vjp(lambda p: actor.apply(p, obs, z), params)

    both, residuals = jax.vmap(sample)(jnp.stack([batch.next_obs, batch.obs]), latents)
    vjp = jax.tree.map(lambda x: x[1], residuals)
    return both[0], both[1], lambda grads: vjp(grads)[0]


def _sample_apart(
    actor: Actor, params: Params, batch: Transition, latents: Any
) -> tuple[jax.Array, jax.Array, Callable[[jax.Array], Params]]:
    next_z, z = (jax.tree.map(lambda leaf, i=i: leaf[i], latents) for i in (0, 1))
    next_actions = actor.apply(params, batch.next_obs, next_z)
    actions, vjp = jax.vjp(lambda p: actor.apply(p, batch.obs, z), params)
    return next_actions, actions, lambda grads: vjp(grads)[0]


def value_and_diversity(
    critic_params: Params, nets: DracNetworks, obs: jax.Array, actions: jax.Array | Split
) -> tuple[jax.Array, jax.Array]:
    """Evaluate a state's samples: min_i Q_i, mean over the Q samples [B], and D [B], of a Split
    [M].

    obs: [B, O]; actions: [K, B, A].
    """
    if isinstance(actions, Split):
        first, rest = actions
        actions = jnp.concatenate([first[:, : rest.shape[1]], rest])
    else:
        first = actions[: nets.diversity.q_samples]
    q = nets.critic.apply(critic_params, obs, first)
    return q.min(axis=-1).mean(axis=0), nets.diversity.estimate(actions)


def actor_loss(
    actions: jax.Array | Split,
    critic_params: Params,
    nets: DracNetworks,
    obs: jax.Array,
    alpha: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Compute -(min_i Q_i + alpha D), means over the states of each, and the mean D."""
    q, d = value_and_diversity(critic_params, nets, obs, actions)
    return -(q.mean() + alpha * d.mean()), d.mean()
