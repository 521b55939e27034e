"""DACER: a diffusion actor whose exploration noise follows an estimate of its entropy.

The policy is a = squash(f(s, z) + noise_scale * alpha * N(0, I)). Two updates are one call, each
on its own batch of transitions:
  1. in each, sample a' at the next observations; take the critic with the smaller target mean,
     and regress both critics' means on r + gamma * discount * that mean, and their standard
     deviations on the error of a return sampled from it (`drac_jax.distributional`);
  2. in each, target critics: follow by tau;
  3. in the second, actor: maximise the smaller mean through the sampled action, noise included.
Once in `entropy_period` updates:
  4. alpha: minimise alpha (H - target entropy), H the mean over a batch of the entropy of a
     Gaussian mixture fitted to the actions of one state (`drac_jax.entropy`).

Source: arXiv 2405.15177, as the reference implementation of arXiv 2511.01374 has it.
Differences: the reference indexes the coefficients of its chain off by one and adds noise after its
last step, the chain here is the correct one (`drac_jax.actors.diffusion_actor`); two env steps come
before two updates, not one before each; the alpha step takes a fresh batch, not that of the last
update; the mixture's fit takes a fixed number of steps.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from drac_jax.algorithms.agent import acting, init_networks
from drac_jax.diversity import mixture_entropy
from drac_jax.networks import coefficient, critics, distributional, optim
from drac_jax.networks.distributional import DistributionalTwin
from drac_jax.types import Actor, Algorithm, Metrics, Params, Trainable, Transition

MODE_SAMPLES = 16
STATES_AT_ONCE = 16  # whose entropy samples are drawn together; bounds the memory


@struct.dataclass
class DacerHParams:
    """What a sweep may vary: any of these may be traced."""

    actor_lr: float = 3e-4  # Adam learning rate
    critic_lr: float = 3e-4  # Adam learning rate
    alpha_lr: float = 0.03  # Adam learning rate of alpha; 0 fixes it
    gamma: float = 0.99  # discount per env step
    tau: float = 0.005  # Polyak fraction per update, of the target critics and the running std
    alpha_init: float = 3.0  # first weight of the noise
    target_entropy: float = -1.8  # nats; the paper's is -0.9 A, and +1 in its mazes
    noise_scale: float = 0.1  # std of the noise at alpha = 1 (0.15 for Humanoid and HalfCheetah)
    reward_scale: float = 0.2  # of rewards in the target


class DacerAgent(NamedTuple):
    """Everything an update changes, and the hyperparameters it reads. running_std: [2]."""

    actor: Trainable
    critic: Trainable
    target_critic: Params
    running_std: jax.Array  # of the critics' returns; 0 before the first update
    alpha: Trainable  # of the free parameter w; alpha = duals.value(w)
    hparams: DacerHParams


Updated = tuple[DacerAgent, Metrics]


class DacerNetworks(NamedTuple):
    """The static parts of an update."""

    actor: Actor
    critic: DistributionalTwin
    squash: Callable[[jax.Array], jax.Array]


class Draws(NamedTuple):
    """What makes an action of an observation. latents: of the actor; noise: [..., A], normal."""

    latents: Any
    noise: jax.Array


def clip(action: jax.Array) -> jax.Array:
    """Clip to the action box."""
    return jnp.clip(action, -1.0, 1.0)


def make_dacer(
    actor: Actor,
    squash: Callable[[jax.Array], jax.Array] = clip,
    mixture_components: int = 3,
    entropy_samples: int = 200,
    entropy_period: int = 10_000,
    critic: DistributionalTwin = distributional.PERCEPTRONS,
) -> Algorithm:
    """Make DACER of an actor and critics; two updates a call, so their number must be even.

    squash: keeps the noisy action in the box, `clip` or, in the paper's mazes, `jnp.tanh`;
    mixture_components: 3, in mazes 4 or 8; entropy_samples: actions of each state that they are
    fitted to; entropy_period: updates between two alpha steps, in mazes 300. An alpha step samples
    B * entropy_samples actions: 142 GFLOP at the paper's sizes and A = 8, as much as 62 updates.
    Raises ValueError as `check` does.
    """
    check(mixture_components, entropy_samples, entropy_period)
    nets = DacerNetworks(actor, critic, squash)

    latent = partial(draw, actor)

    def decide(agent: DacerAgent, obs: jax.Array, draws: Draws) -> jax.Array:
        return sample(agent, nets, obs, draws)

    def update(agent: DacerAgent, minibatches: Transition, key: jax.Array) -> Updated:
        return update_step(agent, nets, minibatches, *draw_update(actor, key, minibatches))

    def slow_update(agent: DacerAgent, minibatches: Transition, key: jax.Array) -> Updated:
        sample_key, key = jax.random.split(key)
        actions = entropy_actions(agent, nets, minibatches.obs[0], sample_key, entropy_samples)
        entropy = mixture_entropy.estimate(actions, key, mixture_components)
        return alpha_step(agent, entropy.mean())

    return Algorithm(
        init=lambda key, hparams, obs_size: init_agent(key, nets, hparams, obs_size),
        act=acting(latent, decide),
        mode=lambda agent, obs: best_of_samples(agent, nets, obs),
        update=update,
        num_minibatches=2,
        slow_update=slow_update,
        slow_period=entropy_period,
        latent=latent,
        decide=decide,
        laws=(actor.law, "normal"),
    )


def check(mixture_components: int, entropy_samples: int, entropy_period: int) -> None:
    """Raise ValueError, naming field, value and fix, for options that cannot work."""
    if not 1 <= mixture_components <= entropy_samples:
        raise ValueError(
            f"mixture_components={mixture_components} must be in 1..entropy_samples="
            f"{entropy_samples}; the paper fits 3 to 200"
        )
    if entropy_period < 1:
        raise ValueError(f"entropy_period={entropy_period} must be at least 1; the paper has 10000")


def init_agent(
    key: jax.Array, nets: DacerNetworks, hparams: DacerHParams, obs_size: int
) -> DacerAgent:
    """Draw the networks, and start what else there is."""
    networks = init_networks(key, nets.actor, nets.critic, hparams, obs_size)
    return DacerAgent(
        actor=networks.actor,
        critic=networks.critic,
        target_critic=networks.target_critic,
        running_std=jnp.zeros(2, jnp.float32),
        alpha=optim.init(coefficient.parameter(networks.hparams.alpha_init)),
        hparams=networks.hparams,
    )


def draw(actor: Actor, key: jax.Array, shape: tuple[int, ...]) -> Draws:
    """Draw what `shape` actions need."""
    latent_key, noise_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, (*shape, actor.action_size))
    return Draws(actor.latent(latent_key, shape), noise)


def draw_update(
    actor: Actor, key: jax.Array, minibatches: Transition
) -> tuple[Draws, Draws, jax.Array]:
    """Draw what `update_step` takes: for next_actions [2, B], actions [B], returns [2, B, 2]."""
    next_key, actor_key, return_key = jax.random.split(key, 3)
    shape = minibatches.reward.shape
    draws = draw(actor, next_key, shape), draw(actor, actor_key, shape[1:])
    return *draws, jax.random.normal(return_key, (*shape, 2))


def sample(
    agent: DacerAgent,
    nets: DacerNetworks,
    obs: jax.Array,
    draws: Draws,
    params: Params | None = None,
) -> jax.Array:
    """Sample the policy, of other actor weights if given. obs: [..., O] -> [..., A]."""
    params = agent.actor.params if params is None else params
    scale = agent.hparams.noise_scale * coefficient.value(agent.alpha.params)
    return nets.squash(nets.actor.apply(params, obs, draws.latents) + scale * draws.noise)


def update_step(
    agent: DacerAgent,
    nets: DacerNetworks,
    minibatches: Transition,
    next_draws: Draws,
    draws: Draws,
    return_noise: jax.Array,
) -> tuple[DacerAgent, Metrics]:
    """Take two updates. minibatches: [2, B, ...]; draws: as of `draw_update`."""

    def critic_update(agent: DacerAgent, at: tuple) -> tuple[DacerAgent, Metrics]:
        return critic_step(agent, nets, *at)

    # The actor changes after both targets, so one pass samples for both.
    next_actions = sample(agent, nets, minibatches.next_obs, next_draws)
    agent, metrics = jax.lax.scan(critic_update, agent, (minibatches, next_actions, return_noise))

    loss, grads = jax.value_and_grad(actor_loss)(
        agent.actor.params, agent, nets, minibatches.obs[-1], draws
    )
    actor = optim.adam(agent.actor, grads, agent.hparams.actor_lr)
    metrics = jax.tree.map(jnp.mean, metrics) | {
        "actor/loss": loss,
        "alpha/value": coefficient.value(agent.alpha.params),
    }
    return agent._replace(actor=actor), metrics


def critic_step(
    agent: DacerAgent,
    nets: DacerNetworks,
    batch: Transition,
    next_action: jax.Array,
    return_noise: jax.Array,
) -> tuple[DacerAgent, Metrics]:
    """Update critics and target critics. batch: [B, ...]; next_action: [B, A];
    return_noise: [B, 2]."""
    hp = agent.hparams
    next_heads = nets.critic.apply(agent.target_critic, batch.next_obs, next_action)
    scaled = batch._replace(reward=hp.reward_scale * batch.reward)
    target = distributional.td_target(scaled, hp.gamma, next_heads, return_noise)
    critic, running_std, loss, heads = distributional.regress(
        agent.critic, nets.critic, batch, target, agent.running_std, hp.tau, hp.critic_lr
    )
    target_critic = critics.polyak(agent.target_critic, critic.params, hp.tau)
    agent = agent._replace(critic=critic, target_critic=target_critic, running_std=running_std)
    means = {"critic/q": heads.mean.mean(), "critic/std": heads.std.mean()}
    return agent, means | {"critic/loss": loss}


def actor_loss(
    params: Params, agent: DacerAgent, nets: DacerNetworks, obs: jax.Array, draws: Draws
) -> jax.Array:
    """Compute the negative smaller mean return, mean over the batch."""
    action = sample(agent, nets, obs, draws, params)
    return -nets.critic.apply(agent.critic.params, obs, action).mean.min(axis=-1).mean()


def entropy_actions(
    agent: DacerAgent, nets: DacerNetworks, obs: jax.Array, key: jax.Array, count: int
) -> jax.Array:
    """Sample `count` actions of each state, some states at a time. obs: [B, O] -> [B, N, A]."""

    def of_state(at: tuple[jax.Array, jax.Array]) -> jax.Array:
        obs, key = at
        return sample(agent, nets, obs, draw(nets.actor, key, (count,)))

    keys = jax.random.split(key, obs.shape[0])
    return jax.lax.map(of_state, (obs, keys), batch_size=STATES_AT_ONCE)


def alpha_step(agent: DacerAgent, policy_entropy: jax.Array) -> tuple[DacerAgent, Metrics]:
    """Move alpha by the excess of the policy's entropy over its target."""
    excess = policy_entropy - agent.hparams.target_entropy
    grad = jax.grad(coefficient.loss)(agent.alpha.params, excess)
    dual = optim.adam(agent.alpha, grad, agent.hparams.alpha_lr)
    return agent._replace(alpha=dual), {"actor/entropy": policy_entropy}


def best_of_samples(agent: DacerAgent, nets: DacerNetworks, obs: jax.Array) -> jax.Array:
    """Pick the action of the highest smaller mean among samples of fixed latents, without
    exploration noise. [E, O] -> [E, A]."""
    latents = nets.actor.latent(jax.random.key(0), (MODE_SAMPLES, 1))
    actions = nets.squash(nets.actor.apply(agent.actor.params, obs, latents))
    q = nets.critic.apply(agent.critic.params, obs, actions).mean.min(axis=-1)
    return critics.pick(actions, q)
