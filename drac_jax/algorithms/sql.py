"""SQL: soft Q-learning with amortized Stein variational gradients.

Each update, on a batch of transitions, with K particles (actions of fresh latents) a state:
  1. critics: regress Q_i(s, a) on y = r + gamma * discount * V(s'), where
     V = alpha (log mean_k exp(min_i Q'_i(s', a'_k) / alpha) + A log 2), the soft maximum over the
     box [-1, 1]^A under the particles as if uniform;
  2. target critics: follow by tau;
  3. actor: draw two sets of particles of each state, a and b, and move b_j along
     1/K sum_i (k(a_i, b_j) grad min Q(s, a_i) + grad_{a_i} k(a_i, b_j)), k the RBF kernel, with Q
     of step 1.

Source: arXiv 1702.08165, in the form of the baseline of arXiv 2511.01374.
Differences: none to that baseline. As there, alpha enters step 1 only (the particles of step 3
follow exp(Q), not exp(Q / alpha)), and the actor's gradient is a sum over the batch, not its mean:
Adam hides the scale.
"""

import math
from typing import Any, NamedTuple

import jax
from flax import struct

from drac_jax.algorithms.agent import init_networks, sampling
from drac_jax.diversity import rbf_kernel
from drac_jax.networks import critics, optim
from drac_jax.networks.mlp import in_parts
from drac_jax.types import Actor, Algorithm, Metrics, Params, Trainable, Transition


@struct.dataclass
class SqlHParams:
    """What a sweep may vary: any of these may be traced."""

    actor_lr: float = 3e-4  # Adam learning rate
    critic_lr: float = 3e-4  # Adam learning rate
    gamma: float = 0.99  # discount per env step
    tau: float = 0.005  # Polyak fraction per update, of the target critics
    alpha: float = 1.0  # temperature of the soft value, in units of reward


class SqlAgent(NamedTuple):
    """Everything an update changes, and the hyperparameters it reads."""

    actor: Trainable
    critic: Trainable
    target_critic: Params
    hparams: SqlHParams


class SqlNetworks(NamedTuple):
    """The static parts of an update: what is evaluated, not what is learnt."""

    actor: Actor
    critic: critics.TwinCritic


def make_sql(
    actor: Actor, particles: int = 32, critic: critics.TwinCritic = critics.PERCEPTRONS
) -> Algorithm:
    """Make soft Q-learning of an actor and critics; the paper's actor is amortized, its latent as
    long as an action. Raises ValueError for particles < 2, between which there is no distance."""
    if particles < 2:
        raise ValueError(f"particles={particles} must be at least 2 to repel; the paper uses 32")
    nets = SqlNetworks(actor, critic)

    def init(key: jax.Array, hparams: SqlHParams, obs_size: int) -> SqlAgent:
        return init_agent(key, nets, hparams, obs_size)

    def update(agent: SqlAgent, minibatches: Transition, key: jax.Array) -> tuple:
        batch = jax.tree.map(lambda x: x[0], minibatches)
        latents = actor.latent(key, (3, particles, *batch.reward.shape))
        return update_step(agent, nets, batch, latents)

    return sampling(actor, critic, init, update)


def init_agent(key: jax.Array, nets: SqlNetworks, hparams: SqlHParams, obs_size: int) -> SqlAgent:
    """Draw the networks."""
    return SqlAgent(*init_networks(key, nets.actor, nets.critic, hparams, obs_size))


def update_step(
    agent: SqlAgent, nets: SqlNetworks, batch: Transition, latents: Any
) -> tuple[SqlAgent, Metrics]:
    """Take one update. batch: [B, ...]; latents: leaves [3, K, B, ...], those of the next
    observations, of the particles a and of the particles b."""
    hp = agent.hparams
    next_z, z, moved_z = (jax.tree.map(lambda leaf, i=i: leaf[i], latents) for i in range(3))

    next_q = in_parts(lambda z: particle_q(agent, nets, batch.next_obs, z), next_z)
    next_value = soft_value(next_q, hp.alpha, batch.action.shape[-1])
    target = critics.td_target(batch, hp.gamma, next_value)
    critic, critic_loss, q = critics.regress(agent.critic, nets.critic, batch, target, hp.critic_lr)
    target_critic = critics.polyak(agent.target_critic, critic.params, hp.tau)

    particles, min_q, score = in_parts(
        lambda z: scored_particles(agent.actor.params, critic.params, nets, batch.obs, z), z
    )
    moved, pull_back = jax.vjp(
        lambda params: in_parts(lambda z: nets.actor.apply(params, batch.obs, z), moved_z),
        agent.actor.params,
    )
    kernel = rbf_kernel.rbf(particles, moved)
    (grads,) = pull_back(-rbf_kernel.direction(kernel, score))
    actor = optim.adam(agent.actor, grads, hp.actor_lr)

    metrics = {
        "critic/loss": critic_loss,
        "critic/q": q.mean(),
        "critic/soft_value": next_value.mean(),
        "actor/q": min_q.mean(),
        "actor/kernel_width": rbf_kernel.width(kernel.gamma).mean(),
    }
    return SqlAgent(actor, critic, target_critic, hp), metrics


def particle_q(agent: SqlAgent, nets: SqlNetworks, obs: jax.Array, z: Any) -> jax.Array:
    """Evaluate min_i Q'_i at the particles of latents z: leaves [K, B, ...]. -> [K, B]."""
    actions = nets.actor.apply(agent.actor.params, obs, z)
    return nets.critic.apply(agent.target_critic, obs, actions).min(axis=-1)


def scored_particles(
    params: Params, critic_params: Params, nets: SqlNetworks, obs: jax.Array, z: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Make the particles of latents z: leaves [K, B, ...]. -> actions [K, B, A], their min_i Q_i
    [K, B] and its gradient [K, B, A]."""
    actions = nets.actor.apply(params, obs, z)
    return actions, *critics.score(critic_params, nets.critic, obs, actions)


def soft_value(q: jax.Array, alpha: jax.Array | float, action_size: int) -> jax.Array:
    """Estimate alpha log of the integral of exp(Q / alpha) over the box from K uniform actions.

    q: [K, B] -> [B]. The box's volume is 2^A.
    """
    log_sum = jax.nn.logsumexp(q / alpha, axis=0)
    return alpha * (log_sum - math.log(q.shape[0]) + action_size * math.log(2.0))
