"""SAC's update against the reference implementation: the same weights, batch and noise."""

from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from drac_jax.actors import gaussian
from drac_jax.actors.gaussian_actor import squash
from drac_jax.algorithms import sac
from drac_jax.networks import coefficient, critics, optim
from drac_jax.types import Transition
from tests.support import reference
from tests.support.reference import mlp, twin
from tests.support.tolerances import assert_within, error_of

HIDDEN = (32, 32)
NETS = sac.SacNetworks(gaussian(3, HIDDEN), critics.twin_critic(HIDDEN))


@pytest.fixture(scope="module", params=reference.PRECISIONS)
def case(request) -> reference.Case:
    return reference.case("sac", request.param, parts_of_update, six_updates)


def agent_of(data: dict) -> sac.SacAgent:
    rates = {"actor_lr": data["hp_lr"], "critic_lr": data["hp_lr"], "alpha_lr": data["hp_alpha_lr"]}
    names = ("gamma", "tau", "target_entropy", "alpha_init")
    others = {name: data[f"hp_{name}"] for name in names}
    return sac.SacAgent(
        optim.init(mlp(data, "init_actor")),
        optim.init(twin(data, "init", "q", jnp.stack)),
        twin(data, "init", "tq", jnp.stack),
        optim.init(data["alpha_w_init"]),
        sac.SacHParams(**rates, **others),
    )


def batch_of(data: dict, prefix: str = "", at: Any = ...) -> tuple[Transition, jax.Array]:
    names = ("obs", "act", "rew", "done", "next_obs", "noise_target", "noise_actor")
    obs, act, rew, done, next_obs, *noise = (data[prefix + name][at] for name in names)
    return Transition(obs, act, rew, 1.0 - done, next_obs), jnp.stack(noise)


def parts_of_update(data: dict) -> dict[str, Any]:
    """Call the functions that an update is made of, one by one."""
    agent, (batch, eps) = agent_of(data), batch_of(data)
    hp, alpha = agent.hparams, coefficient.value(agent.alpha.params)
    next_mu, next_log_std = NETS.actor.moments(agent.actor.params, batch.next_obs)
    next_action, next_log_prob = NETS.actor.sample(agent.actor.params, batch.next_obs, eps[0])
    next_q = NETS.critic.apply(agent.target_critic, batch.next_obs, next_action).min(axis=-1)
    target = critics.td_target(batch, hp.gamma, next_q - alpha * next_log_prob)
    loss_grad = jax.value_and_grad(critics.td_loss, has_aux=True)
    (critic_loss, q), critic_grads = loss_grad(agent.critic.params, NETS.critic, batch, target)
    critic = optim.adam(agent.critic, critic_grads, hp.critic_lr).params
    mu, log_std = NETS.actor.moments(agent.actor.params, batch.obs)
    action, log_prob = NETS.actor.sample(agent.actor.params, batch.obs, eps[1])
    actor_grad = jax.value_and_grad(sac.actor_loss, has_aux=True)
    (actor_loss, _), actor_grads = actor_grad(
        agent.actor.params, critic, NETS, batch.obs, eps[1], alpha
    )
    excess = -log_prob.mean() - hp.target_entropy
    arrays = {
        "next_action": next_action,
        "next_logp": next_log_prob,
        "next_mu": next_mu,
        "next_log_std": next_log_std,
        "next_minq_target": next_q,
        "target": target,
        "q1": q[:, 0],
        "q2": q[:, 1],
        "critic_loss": critic_loss,
        "pi_action": action,
        "pi_logp": log_prob,
        "pi_minq": NETS.critic.apply(critic, batch.obs, action).min(axis=-1),
        "pi_mu": mu,
        "pi_log_std": log_std,
        "actor_loss": actor_loss,
        "entropy": -log_prob.mean(),
        "alpha_w_grad": jax.grad(coefficient.loss)(agent.alpha.params, excess),
    }
    return {"arrays": arrays, "critic_grads": critic_grads, "actor_grads": actor_grads}


def six_updates(data: dict) -> dict[str, Any]:
    """Take the update and, with its optimizer states, the five further ones."""

    def step(agent: sac.SacAgent, i: jax.Array) -> tuple[sac.SacAgent, tuple]:
        agent, metrics = sac.update_step(agent, NETS, *batch_of(data, "traj_", i))
        return agent, (metrics, agent.alpha.params)

    new, metrics = sac.update_step(agent_of(data), NETS, *batch_of(data))
    last, (traj_metrics, traj_w) = jax.lax.scan(step, new, jnp.arange(5))
    names = ("new", "metrics", "traj", "traj_metrics", "traj_w")
    return dict(zip(names, (new, metrics, last, traj_metrics, traj_w), strict=True))


(
    test_part_of_the_update_is_the_references,
    test_gradients_are_the_references,
    test_weights_after_updates_are_the_references,
) = reference.update_tests(
    [
        *("next_action", "next_logp", "next_mu", "next_log_std", "next_minq_target", "target"),
        *("q1", "q2", "critic_loss", "pi_action", "pi_logp", "pi_minq", "pi_mu", "pi_log_std"),
        *("actor_loss", "entropy", "alpha_w_grad"),
    ],
    ("new", "traj"),
)


def test_alpha_after_one_update_is_the_references(case):
    w = case.results["new"].alpha.params
    case.assert_close("values", w, case.data["alpha_w_new"])


def test_metrics_of_the_five_further_updates_are_the_references(case):
    theirs = {
        "actor/loss": "policy_loss",
        "critic/loss": "critic_loss",
        "alpha/value": "temperature",
        "actor/entropy": "entropy",
    }
    for ours, name in theirs.items():
        values = case.results["traj_metrics"][ours]
        case.assert_close("further updates", values, case.data[f"traj_out_{name}"])
    case.assert_close("further updates", case.results["traj_w"], case.data["traj_out_w"])


@pytest.mark.parametrize("precision", reference.PRECISIONS)
def test_squashed_gaussian_is_the_references_at_its_extremes(precision):
    """Its clamps and the saturated tanh; cancellation limits rows 5 to 7 to 1e-9."""
    data = reference.load("sac")
    double = precision == "float64"
    with jax.enable_x64(True) if double else nullcontext():
        given = (jnp.asarray(data[f"squash_{n}"], precision) for n in ("mu", "log_std", "eps"))
        action, log_prob = squash(*given)
    for ours, name in ((action, "action"), (log_prob, "logp")):
        assert_within(f"squashed gaussian, {precision}", error_of(ours, data[f"squash_{name}"]))
