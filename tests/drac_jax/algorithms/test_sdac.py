"""SDAC against the update written out in NumPy, and on a bandit whose answer is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.actors import denoiser
from drac_jax.algorithms import SdacHParams, make_sdac, sdac
from drac_jax.networks import optim
from drac_jax.networks.critics import TwinCritic, twin_critic
from drac_jax.types import Transition

OBS, ACTION, BATCH, STEPS, CANDIDATES, HIDDEN = 3, 2, 7, 5, 6, (8, 8)
DENOISER, CRITIC = denoiser(ACTION, STEPS, HIDDEN), twin_critic(HIDDEN)
NETS = sdac.SdacNetworks(DENOISER, CRITIC)
HPARAMS = SdacHParams(gamma=0.9, tau=0.1, alpha=0.05)
init = jax.jit(make_sdac(DENOISER, CANDIDATES, CRITIC).init, static_argnums=2)
update_step = jax.jit(lambda agent, batch, draws: sdac.update_step(agent, NETS, batch, draws))


@pytest.fixture(scope="module")
def taken():
    """One update with targets that have moved away. -> before, batch, draws, after, metrics."""
    agent = init(jax.random.key(0), HPARAMS, OBS)
    agent = agent._replace(target_critic=init(jax.random.key(1), HPARAMS, OBS).critic.params)
    keys = jax.random.split(jax.random.key(2), 6)
    obs, next_obs = (jax.random.normal(key, (BATCH, OBS)) for key in keys[:2])
    action = jax.random.uniform(keys[2], (BATCH, ACTION), minval=-1.0)
    reward = jax.random.normal(keys[3], (BATCH,))
    discount = jax.random.bernoulli(keys[4], 0.5, (BATCH,)).astype(jnp.float32)
    batch = Transition(obs, action, reward, discount, next_obs)
    draws = sdac.draw(DENOISER, keys[5], BATCH, CANDIDATES)
    return jax.device_get((agent, batch, draws, *update_step(agent, batch, draws)))


def min_q(params: dict, obs: np.ndarray, action: np.ndarray) -> np.ndarray:
    return np.min(CRITIC.apply(params, obs, action), axis=-1)


def test_critics_are_regressed_on_the_target_critics_value_of_a_sample(taken):
    agent, batch, draws, _, metrics = taken
    next_action = DENOISER.actor.apply(agent.actor.params, batch.next_obs, draws.latents[0])
    next_q = min_q(agent.target_critic, batch.next_obs, next_action)
    target = batch.reward + 0.9 * batch.discount * next_q
    errors = (
        np.asarray(CRITIC.apply(agent.critic.params, batch.obs, batch.action)) - target[:, None]
    )
    loss = np.square(errors).mean(axis=0).sum()
    np.testing.assert_allclose(metrics["critic/loss"], loss, rtol=1e-5)


def test_actor_is_regressed_on_the_noises_weighed_by_the_new_critics(taken):
    agent, batch, draws, after, metrics = taken
    action = np.asarray(DENOISER.actor.apply(agent.actor.params, batch.obs, draws.latents[1]))
    beta = 1.0 - np.exp(-0.1 / 5 - 0.5 * 9.9 * (2 * np.arange(1, 6) - 1) / 25)
    kept = np.cumprod(1.0 - beta)[draws.step][:, None]  # the share of the action's variance in x
    x = np.sqrt(kept) * action + np.sqrt(1.0 - kept) * draws.noise
    clean = np.clip((x - np.sqrt(1.0 - kept) * draws.candidates) / np.sqrt(kept), -1.0, 1.0)
    value = np.exp(min_q(after.critic.params, batch.obs, clean.astype(np.float32)) / 0.05)
    weight = value / value.sum(axis=0)
    noise = (weight[..., None] * draws.candidates).sum(axis=0)
    found = DENOISER.predict(agent.actor.params, batch.obs, x.astype(np.float32), draws.step)
    np.testing.assert_allclose(metrics["actor/loss"], np.square(found - noise).mean(), rtol=1e-4)
    count = (1.0 / np.square(weight).sum(axis=0)).mean()
    np.testing.assert_allclose(metrics["actor/effective_candidates"], count, rtol=1e-4)
    assert 1.1 < count < CANDIDATES - 0.1  # the weights matter, and more than one counts


def test_prediction_at_each_rows_own_step_is_the_chains(taken):
    """Denoise by `predict` and the posterior's formula, one row at a time."""
    agent, batch, draws, *_ = taken
    params, z, table = agent.actor.params, draws.latents[0], DENOISER.schedule
    x = z[:, 0]
    for t in reversed(range(STEPS)):
        eps = np.asarray(DENOISER.predict(params, batch.obs, x, np.full(BATCH, t)))
        clean = np.clip(table.x_scale[t] * x - table.noise_scale[t] * eps, -1.0, 1.0)
        x = table.clean_weight[t] * clean + table.kept_weight[t] * x + table.deviation[t] * z[:, t]
        x = x.astype(np.float32)
    np.testing.assert_allclose(DENOISER.actor.apply(params, batch.obs, z), x, atol=1e-5)


class _Mixture:
    """A critic's network whose Q is the log of a mixture of two Gaussians of the action."""

    @staticmethod
    def apply(params: None, obs: jax.Array, action: jax.Array) -> jax.Array:
        squares = jnp.square((action - jnp.array([-0.5, 0.5])) / 0.15)
        q = jax.nn.logsumexp(-0.5 * squares, axis=-1, b=jnp.array([0.25, 0.75]))
        return jnp.broadcast_to(q[..., None, None], (*q.shape, 1, 2))


@pytest.mark.heavy
def test_policy_becomes_the_boltzmann_policy_of_a_bandit():
    """Of the paper's claim: samples follow exp(Q / alpha), both modes by their shares."""
    model = denoiser(1, 20, (64, 64))
    nets = sdac.SdacNetworks(model, TwinCritic(_Mixture()))
    obs = jnp.zeros((256, 1))

    def step(actor, key):
        draws = sdac.draw(model, key, 256, 32)
        action = model.actor.apply(actor.params, obs, draws.latents[0])
        x, noise, _ = sdac.weigh(nets, None, 1.0, obs, action, draws)
        loss = partial(sdac.actor_loss, nets=nets, obs=obs, x=x, step=draws.step, noise=noise)
        return optim.adam(actor, jax.grad(loss)(actor.params), 1e-3), None

    @jax.jit
    def samples(key):
        actor = optim.init(model.actor.init(key, 1))
        actor, _ = jax.lax.scan(step, actor, jax.random.split(key, 3_000))
        z = model.actor.latent(key, (4_000,))
        return model.actor.apply(actor.params, jnp.zeros((4_000, 1)), z)[:, 0]

    action = np.asarray(samples(jax.random.key(0)))
    right = action > 0.0
    assert right.mean() == pytest.approx(0.75, abs=0.08)
    for mode, of_mode in ((-0.5, action[~right]), (0.5, action[right])):
        assert of_mode.mean() == pytest.approx(mode, abs=0.08)
        assert of_mode.std() < 0.25  # 0.15 is reached after longer training: 0.17 after 10,000
