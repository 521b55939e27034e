"""TD3 against the update written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.algorithms import Td3HParams, make_td3, td3
from drac_jax.networks.critics import twin_critic
from drac_jax.networks.mlp import MLP
from drac_jax.types import Transition

OBS, ACTION, BATCH, HIDDEN = 3, 2, 7, (8, 8)
NETS = td3.Td3Networks(td3.DeterministicActor(ACTION, MLP((*HIDDEN, ACTION))), twin_critic(HIDDEN))
HPARAMS = Td3HParams(gamma=0.9, tau=0.1, noise_clip=0.3)
init = jax.jit(make_td3(ACTION, HIDDEN, critic=twin_critic(HIDDEN)).init, static_argnums=2)
update_step = jax.jit(lambda agent, batches, noise: td3.update_step(agent, NETS, batches, noise))


def layers(params: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.asarray(x["kernel"]), np.asarray(x["bias"])) for x in params["params"].values()]


def mlp(params: list, x: np.ndarray) -> np.ndarray:
    for kernel, bias in params[:-1]:
        x = np.maximum(x @ kernel + bias, 0.0)
    return x @ params[-1][0] + params[-1][1]


def critics_of(params: dict) -> list[list]:
    both = layers(params)
    return [[(kernel[i], bias[i]) for kernel, bias in both] for i in (0, 1)]


@pytest.fixture(scope="module")
def taken():
    """Two updates with targets that have moved away. -> before, batches, noise, after, metrics."""
    agent = init(jax.random.key(0), HPARAMS, OBS)
    other = init(jax.random.key(1), HPARAMS, OBS)
    agent = agent._replace(target_critic=other.critic.params, target_actor=other.actor.params)
    keys = jax.random.split(jax.random.key(2), 6)
    obs, next_obs = (jax.random.normal(key, (2, BATCH, OBS)) for key in keys[:2])
    action = jax.random.uniform(keys[2], (2, BATCH, ACTION), minval=-1.0)
    reward = jax.random.normal(keys[3], (2, BATCH))
    discount = jax.random.bernoulli(keys[4], 0.5, (2, BATCH)).astype(jnp.float32)
    batches = Transition(obs, action, reward, discount, next_obs)
    noise = 3.0 * jax.random.normal(keys[5], (2, BATCH, ACTION))
    return jax.device_get((agent, batches, noise, *update_step(agent, batches, noise)))


def test_first_critic_loss_and_its_target_are_those_of_the_paper(taken):
    agent, batches, noise, _, metrics = taken
    first = jax.tree.map(lambda x: x[:1].repeat(2, axis=0), batches)
    _, alone = update_step(
        agent._replace(hparams=HPARAMS.replace(critic_lr=0.0, actor_lr=0.0)), first, noise
    )
    losses = []
    for each in noise:
        clipped = np.clip(0.2 * each, -0.3, 0.3)
        pi = np.tanh(mlp(layers(agent.target_actor), batches.next_obs[0]))
        pair = np.concatenate([batches.next_obs[0], np.clip(pi + clipped, -1.0, 1.0)], axis=-1)
        next_q = np.min([mlp(c, pair)[:, 0] for c in critics_of(agent.target_critic)], axis=0)
        target = batches.reward[0] + 0.9 * batches.discount[0] * next_q
        seen = np.concatenate([batches.obs[0], batches.action[0]], axis=-1)
        errors = [mlp(c, seen)[:, 0] - target for c in critics_of(agent.critic.params)]
        losses.append(np.square(errors).mean(axis=1).sum())
    np.testing.assert_allclose(alone["critic/loss"], np.mean(losses), rtol=1e-5)
    assert (np.abs(0.2 * noise) > 0.3).any()  # the bound was met


def test_actor_climbs_the_first_critic_of_after_both_updates(taken):
    agent, batches, _, after, metrics = taken
    pi = np.tanh(mlp(layers(agent.actor.params), batches.obs[1]))
    pair = np.concatenate([batches.obs[1], pi], axis=-1)
    q = mlp(critics_of(after.critic.params)[0], pair)[:, 0]
    np.testing.assert_allclose(metrics["actor/loss"], -q.mean(), rtol=1e-5)
    assert int(after.actor.opt_state[0].count) == 1
    assert int(after.critic.opt_state[0].count) == 2


def test_targets_follow_once_by_tau(taken):
    agent, _, _, after, _ = taken
    pairs = [
        (agent.target_critic, after.critic.params, after.target_critic),
        (agent.target_actor, after.actor.params, after.target_actor),
    ]
    for old, online, new in pairs:
        expected = jax.tree.map(lambda slow, fast: 0.9 * slow + 0.1 * fast, old, online)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), new, expected)


def test_actions_are_noisy_and_in_the_box_and_the_mode_is_neither():
    agent = init(jax.random.key(0), Td3HParams(exploration_noise=0.5), OBS)
    algorithm = make_td3(ACTION, HIDDEN, critic=twin_critic(HIDDEN))
    obs = jnp.ones((4000, OBS))
    mode, action = algorithm.mode(agent, obs), algorithm.act(agent, obs, jax.random.key(1))
    assert (jnp.abs(action) <= 1.0).all()
    inside = np.abs(action - mode)[(np.abs(action) < 1.0).all(axis=1)]
    assert (mode == mode[0]).all() and np.ptp(inside) > 0.3
