"""TD3: twin delayed deterministic policy gradient, the deterministic baseline.

Each call takes two updates, each on a batch of transitions of its own:
  1. next action: the target actor's, plus clipped Gaussian noise, clipped to the box;
  2. critics: regress Q_i(s, a) on y = r + gamma * discount * min_i Q'_i(s', a');
and then, once:
  3. actor: minimise -Q_1(s, pi(s)) on the second batch;
  4. target critics and target actor: follow by tau.
The policy acts with Gaussian noise, clipped to the box.

Source: arXiv 1802.09477.
Differences: none in the update. Evaluations play `act`, as for every method, and so keep the
exploration noise; `mode` has none.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from drac_jax.algorithms.agent import acting, init_networks
from drac_jax.networks import critics, optim
from drac_jax.networks.columns import Columns, Seeing, seeing
from drac_jax.networks.mlp import FLOAT32, MLP, Style
from drac_jax.types import Algorithm, Metrics, Params, Trainable, Transition


@struct.dataclass
class Td3HParams:
    """What a sweep may vary: any of these may be traced."""

    actor_lr: float = 3e-4  # Adam learning rate
    critic_lr: float = 3e-4  # Adam learning rate
    gamma: float = 0.99  # discount per env step
    tau: float = 0.005  # Polyak fraction per two updates, of all targets
    exploration_noise: float = 0.1  # std of the noise of what the policy plays, box of +-1
    target_noise: float = 0.2  # std of the target actions' noise
    noise_clip: float = 0.5  # bound of the target actions' noise


class Td3Agent(NamedTuple):
    """Everything an update changes, and the hyperparameters it reads."""

    actor: Trainable
    critic: Trainable
    target_critic: Params
    target_actor: Params
    hparams: Td3HParams


class DeterministicActor(NamedTuple):
    """a = tanh(MLP(obs))."""

    action_size: int
    network: nn.Module | Seeing

    def init(self, key: jax.Array, obs_size: int) -> Params:
        """Draw parameters."""
        return self.network.init(key, jnp.zeros(obs_size))

    def apply(self, params: Params, obs: jax.Array) -> jax.Array:
        """Act. obs: [..., O] -> [..., A]."""
        return jnp.tanh(self.network.apply(params, obs))


class Td3Networks(NamedTuple):
    """What an update evaluates."""

    actor: DeterministicActor
    critic: critics.TwinCritic


def make_td3(
    action_size: int,
    hidden: tuple[int, ...] = (256, 256),
    style: Style = FLOAT32,
    actor_obs: Columns = None,
    critic: critics.TwinCritic = critics.PERCEPTRONS,
) -> Algorithm:
    """Make TD3; two updates a call, so it needs an even number of updates. hidden, style: of the
    actor's network; actor_obs: the columns of obs that it sees."""
    network = seeing(MLP((*hidden, action_size), style), actor_obs)
    actor = DeterministicActor(action_size, network)
    nets = Td3Networks(actor, critic)

    def latent(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(key, (*shape, action_size))

    def decide(agent: Td3Agent, obs: jax.Array, eps: jax.Array) -> jax.Array:
        noise = agent.hparams.exploration_noise * eps
        return jnp.clip(actor.apply(agent.actor.params, obs) + noise, -1.0, 1.0)

    def update(
        agent: Td3Agent, minibatches: Transition, key: jax.Array
    ) -> tuple[Td3Agent, Metrics]:
        noise = jax.random.normal(key, minibatches.action.shape)
        return update_step(agent, nets, minibatches, noise)

    return Algorithm(
        init=partial(init_agent, nets=nets),
        act=acting(latent, decide),
        mode=lambda agent, obs: actor.apply(agent.actor.params, obs),
        update=update,
        num_minibatches=2,
        latent=latent,
        decide=decide,
        laws=("normal",),
    )


def init_agent(key: jax.Array, hparams: Td3HParams, obs_size: int, nets: Td3Networks) -> Td3Agent:
    """Draw the networks; the targets start as copies."""
    networks = init_networks(key, nets.actor, nets.critic, hparams, obs_size)
    return Td3Agent(
        actor=networks.actor,
        critic=networks.critic,
        target_critic=networks.target_critic,
        target_actor=networks.actor.params,
        hparams=networks.hparams,
    )


def update_step(
    agent: Td3Agent, nets: Td3Networks, minibatches: Transition, noise: jax.Array
) -> tuple[Td3Agent, Metrics]:
    """Take two updates of the critics and one of the actor. minibatches: [2, B, ...]; noise:
    [2, B, A], normal."""
    hp = agent.hparams

    def critic_step(critic: Trainable, at: tuple) -> tuple[Trainable, tuple]:
        batch, noise = at
        next_action = target_action(agent, nets, batch.next_obs, noise)
        next_q = nets.critic.apply(agent.target_critic, batch.next_obs, next_action).min(axis=-1)
        target = critics.td_target(batch, hp.gamma, next_q)
        critic, loss, q = critics.regress(critic, nets.critic, batch, target, hp.critic_lr)
        return critic, (loss, q.mean())

    critic, (critic_loss, q) = jax.lax.scan(critic_step, agent.critic, (minibatches, noise))
    loss, grads = jax.value_and_grad(actor_loss)(
        agent.actor.params, critic.params, nets, minibatches.obs[-1]
    )
    actor = optim.adam(agent.actor, grads, hp.actor_lr)
    metrics = {"critic/loss": critic_loss.mean(), "critic/q": q.mean(), "actor/loss": loss}
    return Td3Agent(
        actor=actor,
        critic=critic,
        target_critic=critics.polyak(agent.target_critic, critic.params, hp.tau),
        target_actor=critics.polyak(agent.target_actor, actor.params, hp.tau),
        hparams=hp,
    ), metrics


def target_action(
    agent: Td3Agent, nets: Td3Networks, next_obs: jax.Array, noise: jax.Array
) -> jax.Array:
    """Act as the target actor does, with clipped noise. next_obs: [B, O]; noise: [B, A], normal."""
    hp = agent.hparams
    clipped = jnp.clip(hp.target_noise * noise, -hp.noise_clip, hp.noise_clip)
    return jnp.clip(nets.actor.apply(agent.target_actor, next_obs) + clipped, -1.0, 1.0)


def actor_loss(
    params: Params, critic_params: Params, nets: Td3Networks, obs: jax.Array
) -> jax.Array:
    """Compute -Q_1 of the policy's actions, mean over the batch."""
    return -nets.critic.apply(critic_params, obs, nets.actor.apply(params, obs))[..., 0].mean()
