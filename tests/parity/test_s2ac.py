"""S2AC's update against the reference implementation: the same weights, batch and noise."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.actors import stein_actor
from drac_jax.algorithms import s2ac
from drac_jax.diversity import rbf_kernel
from drac_jax.networks import critics, optim
from drac_jax.types import Transition
from tests.support import reference
from tests.support.reference import mlp, twin

HIDDEN = (32, 32)
STEPS = 3
NETS = s2ac.S2acNetworks(stein_actor.stein_start(3, HIDDEN), critics.twin_critic(HIDDEN), STEPS)


@pytest.fixture(scope="module", params=reference.PRECISIONS)
def case(request) -> reference.Case:
    return reference.case("s2ac", request.param, parts_of_update, one_update)


def actor(data: dict, when: str, concatenate: Callable = np.concatenate) -> dict:
    """Join their two heads, the layers 2 and 3, into one."""
    *trunk, mean, log_std = mlp(data, f"{when}_actor")["params"].values()
    heads = jax.tree.map(lambda *both: concatenate(both, axis=-1), mean, log_std)
    return {"params": {f"PartsDense_{i}": layer for i, layer in enumerate([*trunk, heads])}}


def agent_of(data: dict) -> s2ac.S2acAgent:
    others = {name: data[f"hp_{name}"] for name in ("gamma", "tau", "alpha", "svgd_lr")}
    return s2ac.S2acAgent(
        optim.init(actor(data, "init", jnp.concatenate)),
        optim.init(twin(data, "init", "q", jnp.stack)),
        twin(data, "init", "tq", jnp.stack),
        s2ac.S2acHParams(actor_lr=data["hp_lr"], critic_lr=data["hp_lr"], **others),
    )


def batch_of(data: dict) -> tuple[Transition, jax.Array]:
    """Return the batch and the noise; theirs has the batch before the particles."""
    obs, act, rew, done, next_obs = (data[k] for k in ("obs", "act", "rew", "done", "next_obs"))
    noise = [data[k].swapaxes(0, 1) for k in ("noise_target", "noise_actor")]
    return Transition(obs, act, rew, 1.0 - done, next_obs), jnp.stack(noise)


def chain(begin: stein_actor.Particles, score: Callable, step_size: jax.Array) -> dict[str, Any]:
    """Take the steps one by one and note what each is made of."""
    particles, record = begin, []
    for _ in range(STEPS):
        x = particles.x
        k, s = rbf_kernel.rbf(x, x), score(x)
        first, second = rbf_kernel.divergence(k, s)
        made_of = {"gamma": k.gamma, "score": s, "phi": rbf_kernel.direction(k, s)}
        particles = stein_actor.stein_step(particles, score, step_size)
        after = {
            "raw_particles_after_step": particles.x,
            "logp_svgd_after_step": particles.log_prob - begin.log_prob,
        }
        record.append(made_of | {"term1": first, "term2": second} | after)
    stacked = jax.tree.map(lambda *steps: jnp.stack(steps), *record)
    return {k: v if k == "gamma" else v.swapaxes(1, 2) for k, v in stacked.items()}


def particles_of(
    params: Any, critic_params: Any, obs: jax.Array, noise: jax.Array, step_size: jax.Array
) -> dict[str, Any]:
    """Make the particles of a batch by the parts of `s2ac.policy`, under the data's names."""

    def score(x: jax.Array) -> jax.Array:
        return critics.score(critic_params, NETS.critic, obs, x)[1]

    mean, std = NETS.start.apply(params, obs)
    begin = stein_actor.begin(mean, std, noise)
    end = stein_actor.stein_chain(begin, score, step_size, STEPS)
    actions, log_prob = stein_actor.squash(end)
    per_particle = {
        "a0": begin.x,
        "raw_particles_final": end.x,
        "particles": actions,
        "logp_normal": begin.log_prob,
        "logp_svgd": end.log_prob - begin.log_prob,
        "logp_tanh": log_prob - end.log_prob,
    }
    swapped = {name: array.swapaxes(0, 1) for name, array in per_particle.items()}
    return {"mu": mean, "sigma": std, **swapped, **chain(begin, score, step_size)}


def parts_of_update(data: dict) -> dict[str, Any]:
    """Call the functions that an update is made of, one by one."""
    agent, (batch, noise) = agent_of(data), batch_of(data)
    hp, params = agent.hparams, agent.actor.params
    next_parts = particles_of(params, agent.critic.params, batch.next_obs, noise[0], hp.svgd_lr)
    next_actions, next_log_prob = s2ac.sample(agent, NETS, batch.next_obs, noise[0])
    all_next_q = NETS.critic.apply(agent.target_critic, batch.next_obs, next_actions).min(axis=-1)
    next_q = s2ac.mean_q(agent.target_critic, NETS, batch.next_obs, next_actions)
    target = critics.td_target(batch, hp.gamma, next_q - hp.alpha * next_log_prob)
    loss_grad = jax.value_and_grad(critics.td_loss, has_aux=True)
    (critic_loss, q), critic_grads = loss_grad(agent.critic.params, NETS.critic, batch, target)
    critic = optim.adam(agent.critic, critic_grads, hp.critic_lr).params
    pi_parts = particles_of(params, critic, batch.obs, noise[1], hp.svgd_lr)
    _, pi_log_prob = s2ac.policy(params, critic, NETS, batch.obs, noise[1], hp.svgd_lr)
    actor_grad = jax.value_and_grad(s2ac.actor_loss, has_aux=True)
    (actor_loss, _), actor_grads = actor_grad(params, critic, NETS, batch.obs, noise[1], hp)
    arrays = {
        **{f"next_{name}": array for name, array in next_parts.items()},
        **{f"pi_{name}": array for name, array in pi_parts.items()},
        "next_minq_target": all_next_q.T,
        "next_logp": next_log_prob,
        "target": target,
        "q1": q[:, 0],
        "q2": q[:, 1],
        "critic_loss": critic_loss,
        "target_check_loss": critic_loss,
        "pi_logp": pi_log_prob,
        "actor_loss": actor_loss,
    }
    return {"arrays": arrays, "critic_grads": critic_grads, "actor_grads": actor_grads}


def one_update(data: dict) -> dict[str, Any]:
    new, metrics = s2ac.update_step(agent_of(data), NETS, *batch_of(data))
    return {"new": new, "metrics": metrics}


(
    test_part_of_the_update_is_the_references,
    test_gradients_are_the_references,
    test_weights_after_updates_are_the_references,
) = reference.update_tests(
    [
        *("next_mu", "next_sigma", "next_a0", "next_raw_particles_final", "next_particles"),
        *("next_logp_svgd", "next_logp", "next_minq_target", "target", "q1", "q2", "critic_loss"),
        *("target_check_loss", "pi_mu", "pi_sigma", "pi_a0", "pi_gamma", "pi_score", "pi_phi"),
        *("pi_term1", "pi_term2", "pi_raw_particles_after_step", "pi_logp_svgd_after_step"),
        *("pi_raw_particles_final", "pi_particles", "pi_logp_normal", "pi_logp_svgd"),
        *("pi_logp_tanh", "pi_logp", "actor_loss"),
    ],
    actor=actor,
)


def test_metrics_are_the_references(case):
    metrics, data = case.results["metrics"], case.data
    theirs = {
        "critic/loss": data["critic_loss"],
        "critic/q": (data["q1"] + data["q2"]).mean() / 2.0,
        "actor/loss": data["actor_loss"],
        "actor/entropy": -data["pi_logp"].mean(),
    }
    for name, value in theirs.items():
        case.assert_close("values", metrics[name], value)
