"""SDAC: soft diffusion actor-critic, whose diffusion actor is regressed on exp(Q / alpha).

Each update, on a batch of transitions:
  1. critics: regress Q_i(s, a) on y = r + gamma * discount * min_i Q'_i(s', a'), a' of the policy;
  2. target critics: follow by tau;
  3. actor: of each state, diffuse an action of the policy to a random step of the chain; draw K
     noises n_k, each of which names a clean action a_k that the noisy one may have come from; and
     regress the predicted noise on sum_k w_k n_k, with w = softmax_k(min_i Q_i(s, a_k) / alpha).
No gradient flows through the chain or the critics, and no sample of exp(Q / alpha) is needed.

Source: arXiv 2502.00361, reverse sampling score matching.
Differences: alpha is fixed, as in SQL here, where the reference moves it to a target entropy; the
policy acts by one sample without added noise, where the reference acts by the best of several:
that is `mode` here; the chain is the one of `drac_jax.actors.diffusion_actor`; and the actor learns
in every update, with the learning rate of the run.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from drac_jax.actors.diffusion_actor import Denoiser
from drac_jax.algorithms.agent import init_networks, sampling
from drac_jax.networks import critics, optim
from drac_jax.networks.mlp import in_parts
from drac_jax.types import Algorithm, Metrics, Params, Trainable, Transition


@struct.dataclass
class SdacHParams:
    """What a sweep may vary: any of these may be traced."""

    actor_lr: float = 3e-4  # Adam learning rate
    critic_lr: float = 3e-4  # Adam learning rate
    gamma: float = 0.99  # discount per env step
    tau: float = 0.005  # Polyak fraction per update, of the target critics
    alpha: float = 1.0  # temperature of the policy, in units of reward


class SdacAgent(NamedTuple):
    """Everything an update changes, and the hyperparameters it reads."""

    actor: Trainable
    critic: Trainable
    target_critic: Params
    hparams: SdacHParams


class SdacNetworks(NamedTuple):
    """The static parts of an update: what is evaluated, not what is learnt."""

    denoiser: Denoiser
    critic: critics.TwinCritic


class Draws(NamedTuple):
    """What an update draws. latents: leaves [2, B, ...], those of the next observations first;
    step: [B], of the chain; noise: [B, A], which diffuses; candidates: [K, B, A]. Both normal."""

    latents: Any
    step: jax.Array
    noise: jax.Array
    candidates: jax.Array


def make_sdac(
    denoiser: Denoiser, candidates: int = 64, critic: critics.TwinCritic = critics.PERCEPTRONS
) -> Algorithm:
    """Make SDAC of a diffusion actor and critics. candidates: the K of step 3. Raises ValueError
    for candidates < 2, of which none can weigh more than another."""
    if candidates < 2:
        raise ValueError(f"candidates={candidates} must be at least 2; the paper's code has 64")
    nets, actor = SdacNetworks(denoiser, critic), denoiser.actor

    def init(key: jax.Array, hparams: SdacHParams, obs_size: int) -> SdacAgent:
        return SdacAgent(*init_networks(key, actor, critic, hparams, obs_size))

    def update(agent: SdacAgent, minibatches: Transition, key: jax.Array) -> tuple:
        batch = jax.tree.map(lambda x: x[0], minibatches)
        return update_step(agent, nets, batch, draw(denoiser, key, batch.reward.size, candidates))

    return sampling(actor, critic, init, update)


def draw(denoiser: Denoiser, key: jax.Array, batch: int, candidates: int) -> Draws:
    """Draw what `update_step` takes."""
    latent_key, step_key, noise_key, candidate_key = jax.random.split(key, 4)
    steps, shape = len(denoiser.schedule.x_scale), (batch, denoiser.actor.action_size)
    return Draws(
        denoiser.actor.latent(latent_key, (2, batch)),
        jax.random.randint(step_key, (batch,), 0, steps),
        jax.random.normal(noise_key, shape),
        jax.random.normal(candidate_key, (candidates, *shape)),
    )


def update_step(
    agent: SdacAgent, nets: SdacNetworks, batch: Transition, draws: Draws
) -> tuple[SdacAgent, Metrics]:
    """Take one update. batch: [B, ...]."""
    hp = agent.hparams
    next_z, z = (jax.tree.map(lambda leaf, i=i: leaf[i], draws.latents) for i in (0, 1))
    sample = partial(nets.denoiser.actor.apply, agent.actor.params)
    next_action = sample(batch.next_obs, next_z)
    next_q = nets.critic.apply(agent.target_critic, batch.next_obs, next_action).min(axis=-1)
    target = critics.td_target(batch, hp.gamma, next_q)
    critic, critic_loss, q = critics.regress(agent.critic, nets.critic, batch, target, hp.critic_lr)
    target_critic = critics.polyak(agent.target_critic, critic.params, hp.tau)

    action = sample(batch.obs, z)
    x, noise, weights = weigh(nets, critic.params, hp.alpha, batch.obs, action, draws)
    loss, grads = jax.value_and_grad(actor_loss)(
        agent.actor.params, nets, batch.obs, x, draws.step, noise
    )
    actor = optim.adam(agent.actor, grads, hp.actor_lr)
    metrics = {
        "critic/loss": critic_loss,
        "critic/q": q.mean(),
        "actor/loss": loss,
        # Of K candidates, how many count: K where Q is flat, 1 where one is far above the others.
        "actor/effective_candidates": (1.0 / jnp.square(weights).sum(axis=0)).mean(),
    }
    return SdacAgent(actor, critic, target_critic, hp), metrics


def weigh(
    nets: SdacNetworks,
    critic_params: Params,
    alpha: jax.Array | float,
    obs: jax.Array,
    action: jax.Array,
    draws: Draws,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Diffuse the actions, and weigh the candidate noises by the values of their clean actions.

    obs: [B, O]; action: [B, A]. -> the noisy actions x [B, A], the mean noise in each [B, A], and
    the weights [K, B].
    """
    x_scale, noise_scale = (
        jnp.asarray(table, action.dtype)[draws.step][:, None]
        for table in (nets.denoiser.schedule.x_scale, nets.denoiser.schedule.noise_scale)
    )
    x = (action + noise_scale * draws.noise) / x_scale

    def value(noise: jax.Array) -> jax.Array:
        clean = jnp.clip(x_scale * x - noise_scale * noise, -1.0, 1.0)
        return nets.critic.apply(critic_params, obs, clean).min(axis=-1)

    weights = jax.nn.softmax(in_parts(value, draws.candidates) / alpha, axis=0)
    return x, (weights[..., None] * draws.candidates).sum(axis=0), weights


def actor_loss(
    params: Params,
    nets: SdacNetworks,
    obs: jax.Array,
    x: jax.Array,
    step: jax.Array,
    noise: jax.Array,
) -> jax.Array:
    """Compute the squared error of the predicted noise, mean over batch and coordinates."""
    return jnp.square(nets.denoiser.predict(params, obs, x, step) - noise).mean()
