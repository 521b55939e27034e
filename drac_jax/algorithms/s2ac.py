"""S2AC: Stein soft actor-critic.

A policy is n particles of each state: drawn from a learned Gaussian p0(s), moved by L steps of
Stein's variational gradient on min_i Q_i, squashed by tanh; one of them, at random, is the action.
Each update, on a batch of transitions:
  1. particles at the next observations, moved by the critics as they are;
  2. critics: regress Q_i(s, a) on
     y = r + gamma * discount * (mean over particles of min_i Q'_i(s', a') - alpha log pi(s'));
  3. target critics: follow by tau;
  4. particles at the observations, moved by the critics of step 2;
     actor: minimise alpha log pi(s) - mean over particles of min_i Q_i(s, a), through all L steps
     into p0.
log pi(s) is the mean over the particles of their log-density (see `drac_jax.actors.stein_actor`).

Source: arXiv 2405.00987, in the form of the baseline of arXiv 2511.01374.
Differences: none to that baseline. It differs from S2AC's paper: the score is the gradient of
min_i Q_i (the online critics') at the particle before tanh, not divided by alpha; and log p0 is not
renormalised for the noise being cut at 3 std.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from drac_jax.actors import stein_actor
from drac_jax.algorithms.agent import acting, init_networks
from drac_jax.networks import critics, optim
from drac_jax.types import Algorithm, Metrics, Params, Trainable, Transition


@struct.dataclass
class S2acHParams:
    """What a sweep may vary: any of these may be traced."""

    actor_lr: float = 3e-4  # Adam learning rate
    critic_lr: float = 3e-4  # Adam learning rate
    gamma: float = 0.99  # discount per env step
    tau: float = 0.005  # Polyak fraction per update, of the target critics
    alpha: float = 1.0  # weight of the entropy, in units of reward
    svgd_lr: float = 0.1  # size of a Stein step


class S2acAgent(NamedTuple):
    """Everything an update changes, and the hyperparameters it reads."""

    actor: Trainable
    critic: Trainable
    target_critic: Params
    hparams: S2acHParams


class Draws(NamedTuple):
    """What makes an action of an observation. noise: [..., n, A], where the particles start;
    choice: [...] int, which of them acts."""

    noise: jax.Array
    choice: jax.Array


class S2acNetworks(NamedTuple):
    """The static parts of an update: what is evaluated, not what is learnt."""

    start: stein_actor.SteinStart
    critic: critics.TwinCritic
    svgd_steps: int


def make_s2ac(
    start: stein_actor.SteinStart,
    particles: int = 10,
    svgd_steps: int = 5,
    critic: critics.TwinCritic = critics.PERCEPTRONS,
) -> Algorithm:
    """Make S2AC of a Gaussian start (`drac_jax.actors.stein_start`) and critics.

    The critics move the particles, so a policy needs all that they see of obs as well. Raises
    ValueError for particles < 2, between which there is no distance, and svgd_steps < 1.
    """
    check(particles, svgd_steps)
    nets = S2acNetworks(start, critic, svgd_steps)

    def init(key: jax.Array, hparams: S2acHParams, obs_size: int) -> S2acAgent:
        return init_agent(key, nets, hparams, obs_size)

    def latent(key: jax.Array, shape: tuple[int, ...]) -> Draws:
        noise_key, choice_key = jax.random.split(key)
        noise = start.noise(noise_key, (particles, *shape))
        choice = jax.random.randint(choice_key, shape, 0, particles)
        return Draws(jnp.moveaxis(noise, 0, -2), choice)

    def decide(agent: S2acAgent, obs: jax.Array, draws: Draws) -> jax.Array:
        actions, _ = sample(agent, nets, obs, jnp.moveaxis(draws.noise, -2, 0))
        return jnp.take_along_axis(actions, draws.choice[None, :, None], axis=0)[0]

    def mode(agent: S2acAgent, obs: jax.Array) -> jax.Array:
        noise = start.noise(jax.random.key(0), (particles, 1))
        actions, _ = sample(agent, nets, obs, noise)
        return critics.best_of(agent.critic.params, nets.critic, obs, actions)

    def update(agent: S2acAgent, minibatches: Transition, key: jax.Array) -> tuple:
        batch = jax.tree.map(lambda x: x[0], minibatches)
        noise = start.noise(key, (2, particles, *batch.reward.shape))
        return update_step(agent, nets, batch, noise)

    act, limit = acting(latent, decide), stein_actor.NOISE_LIMIT
    laws = f"truncated_normal {-limit:g} {limit:g}", f"randint 0 {particles}"
    return Algorithm(init, act, mode, update, latent=latent, decide=decide, laws=laws)


def check(particles: int, svgd_steps: int) -> None:
    """Raise ValueError for sizes that cannot work."""
    if particles < 2:
        raise ValueError(f"particles={particles} must be at least 2 to repel; the paper uses 10")
    if svgd_steps < 1:
        raise ValueError(f"svgd_steps={svgd_steps} must be at least 1; the paper uses 5")


def init_agent(
    key: jax.Array, nets: S2acNetworks, hparams: S2acHParams, obs_size: int
) -> S2acAgent:
    """Draw the networks."""
    return S2acAgent(*init_networks(key, nets.start, nets.critic, hparams, obs_size))


def update_step(
    agent: S2acAgent, nets: S2acNetworks, batch: Transition, noise: jax.Array
) -> tuple[S2acAgent, Metrics]:
    """Take one update. batch: [B, ...]; noise: [2, n, B, A], that of the next observations
    first."""
    hp = agent.hparams
    next_actions, next_log_prob = sample(agent, nets, batch.next_obs, noise[0])
    next_q = mean_q(agent.target_critic, nets, batch.next_obs, next_actions)
    target = critics.td_target(batch, hp.gamma, next_q - hp.alpha * next_log_prob)
    critic, critic_loss, q = critics.regress(agent.critic, nets.critic, batch, target, hp.critic_lr)
    target_critic = critics.polyak(agent.target_critic, critic.params, hp.tau)

    actor_grad = jax.value_and_grad(actor_loss, has_aux=True)
    (loss, log_prob), grads = actor_grad(
        agent.actor.params, critic.params, nets, batch.obs, noise[1], hp
    )
    actor = optim.adam(agent.actor, grads, hp.actor_lr)

    metrics = {
        "critic/loss": critic_loss,
        "critic/q": q.mean(),
        "actor/loss": loss,
        "actor/entropy": -log_prob,
    }
    return S2acAgent(actor, critic, target_critic, hp), metrics


def sample(
    agent: S2acAgent, nets: S2acNetworks, obs: jax.Array, noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Do as `policy` says with the agent as it is."""
    lr = agent.hparams.svgd_lr
    return policy(agent.actor.params, agent.critic.params, nets, obs, noise, lr)


def policy(
    params: Params,
    critic_params: Params,
    nets: S2acNetworks,
    obs: jax.Array,
    noise: jax.Array,
    svgd_lr: jax.Array | float,
) -> tuple[jax.Array, jax.Array]:
    """Make the particles of each state. obs: [B, O]; noise: [n, B, A].

    -> actions [n, B, A] and log pi [B].
    """

    def score(x: jax.Array) -> jax.Array:
        return critics.score(critic_params, nets.critic, obs, x)[1]

    begin = stein_actor.begin(*nets.start.apply(params, obs), noise)
    particles = stein_actor.stein_chain(begin, score, svgd_lr, nets.svgd_steps)
    actions, log_prob = stein_actor.squash(particles)
    return actions, log_prob.mean(axis=0)


def mean_q(
    critic_params: Params, nets: S2acNetworks, obs: jax.Array, actions: jax.Array
) -> jax.Array:
    """Evaluate the mean over the particles of min_i Q_i. actions: [n, B, A] -> [B]."""
    return nets.critic.apply(critic_params, obs, actions).min(axis=-1).mean(axis=0)


def actor_loss(
    params: Params,
    critic_params: Params,
    nets: S2acNetworks,
    obs: jax.Array,
    noise: jax.Array,
    hparams: S2acHParams,
) -> tuple[jax.Array, jax.Array]:
    """Compute alpha log pi - mean min Q, mean over the batch, and the mean log pi."""
    actions, log_prob = policy(params, critic_params, nets, obs, noise, hparams.svgd_lr)
    loss = hparams.alpha * log_prob - mean_q(critic_params, nets, obs, actions)
    return loss.mean(), log_prob.mean()
