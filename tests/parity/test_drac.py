"""DrAC's update against the reference implementation: the same weights, batch and latents."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.actors import amortized
from drac_jax.algorithms import drac
from drac_jax.diversity import distance
from drac_jax.networks import coefficient, critics, optim
from drac_jax.types import Transition
from tests.support import reference
from tests.support.reference import mlp, twin

HIDDEN = (32, 32)
NETS = drac.DracNetworks(amortized(3, 16, HIDDEN), critics.twin_critic(HIDDEN), distance.paired(8))


@pytest.fixture(scope="module", params=reference.PRECISIONS)
def case(request) -> reference.Case:
    return reference.case("drac_amortized", request.param, parts_of_update, six_updates)


def agent_of(data: dict) -> drac.DracAgent:
    rates = {"actor_lr": data["hp_lr"], "critic_lr": data["hp_lr"], "alpha_lr": data["hp_alpha_lr"]}
    others = {name: data[f"hp_{name}"] for name in ("gamma", "tau", "beta", "alpha_init")}
    return drac.DracAgent(
        optim.init(mlp(data, "init_actor")),
        optim.init(twin(data, "init", "q", jnp.stack)),
        twin(data, "init", "tq", jnp.stack),
        optim.init(data["alpha_w_init"]),
        drac.DracHParams(**rates, **others),
    )


def batch_of(data: dict, prefix: str = "", at: Any = ...) -> tuple[Transition, jax.Array]:
    names = ("obs", "act", "rew", "done", "next_obs", "noise_target", "noise_actor")
    obs, act, rew, done, next_obs, *noise = (data[prefix + name][at] for name in names)
    return Transition(obs, act, rew, 1.0 - done, next_obs), jnp.stack(noise)


def parts_of_update(data: dict) -> dict[str, Any]:
    """Call the functions that an update is made of, one by one; the samples in one forward pass,
    which a whole update takes apart on a CPU."""
    agent, (batch, latents) = agent_of(data), batch_of(data)
    hp, alpha = agent.hparams, coefficient.value(agent.alpha.params)
    next_actions, actions, pull_back = drac.sample_merged(
        NETS.actor, agent.actor.params, batch, latents
    )
    next_q, next_d = drac.value_and_diversity(
        agent.target_critic, NETS, batch.next_obs, next_actions
    )
    target = critics.td_target(batch, hp.gamma, next_q + alpha * next_d)
    loss_grad = jax.value_and_grad(critics.td_loss, has_aux=True)
    (critic_loss, q), critic_grads = loss_grad(agent.critic.params, NETS.critic, batch, target)
    critic = optim.adam(agent.critic, critic_grads, hp.critic_lr).params
    pi_q, pi_d = drac.value_and_diversity(critic, NETS, batch.obs, actions)
    actor_grad = jax.value_and_grad(drac.actor_loss, has_aux=True)
    (actor_loss, _), grads = actor_grad(actions, critic, NETS, batch.obs, alpha)
    excess = pi_d.mean() - distance.target_diversity(hp.beta, 3)
    arrays = {
        "next_action": next_actions[0],
        "next_x": next_actions[1:9],
        "next_y": next_actions[9:],
        "next_reg": next_d,
        "next_minq_target": next_q,
        "target": target,
        "q1": q[:, 0],
        "q2": q[:, 1],
        "critic_loss": critic_loss,
        "pi_action": actions[0],
        "pi_x": actions[1:9],
        "pi_y": actions[9:],
        "pi_reg": pi_d,
        "pi_minq": pi_q,
        "qmean": pi_q.mean(),
        "reg_mean": pi_d.mean(),
        "actor_loss": actor_loss,
        "target_diversity": distance.target_diversity(hp.beta, 3),
        "alpha_w_grad": jax.grad(coefficient.loss)(agent.alpha.params, excess),
    }
    return {"arrays": arrays, "critic_grads": critic_grads, "actor_grads": pull_back(grads)}


def six_updates(data: dict) -> dict[str, Any]:
    """Take the update and, with its optimizer states, the five further ones."""

    def step(agent: drac.DracAgent, i: jax.Array) -> tuple[drac.DracAgent, tuple]:
        agent, metrics = drac.update_step(agent, NETS, *batch_of(data, "traj_", i))
        return agent, (metrics, agent.alpha.params)

    new, metrics = drac.update_step(agent_of(data), NETS, *batch_of(data))
    last, (traj_metrics, traj_w) = jax.lax.scan(step, new, jnp.arange(5))
    return {
        "new": new,
        "metrics": metrics,
        "traj": last,
        "traj_metrics": traj_metrics,
        "traj_w": traj_w,
    }


(
    test_part_of_the_update_is_the_references,
    test_gradients_are_the_references,
    test_weights_after_updates_are_the_references,
) = reference.update_tests(
    [
        *("next_action", "next_x", "next_y", "next_reg", "next_minq_target", "target"),
        *("q1", "q2", "critic_loss", "pi_action", "pi_x", "pi_y", "pi_reg", "pi_minq"),
        *("qmean", "reg_mean", "actor_loss", "target_diversity", "alpha_w_grad"),
    ],
    ("new", "traj"),
)


def test_metrics_of_one_update_are_the_references(case):
    metrics = case.results["metrics"]
    theirs = {
        "critic/loss": "critic_loss",
        "actor/loss": "actor_loss",
        "actor/diversity": "reg_mean",
        "alpha/value": "alpha_new",
    }
    for ours, name in theirs.items():
        case.assert_close("values", metrics[ours], case.data[name])
    case.assert_close("values", case.results["new"].alpha.params, case.data["alpha_w_new"])


def test_metrics_of_the_five_further_updates_are_the_references(case):
    metrics, data = case.results["traj_metrics"], case.data
    theirs = {
        "critic/loss": "critic_loss",
        "actor/diversity": "policy_reg",
        "alpha/value": "alpha",
    }
    for ours, name in theirs.items():
        case.assert_close("further updates", metrics[ours], data[f"traj_out_{name}"])
    case.assert_close("further updates", case.results["traj_w"], data["traj_out_w"])


def test_alpha_step_is_the_references_on_both_sides_of_zero():
    data = reference.load("drac_amortized")
    with jax.enable_x64(True):
        w, x = jnp.asarray(data["alphacase_w"]), jnp.asarray(data["alphacase_x"])
        # Theirs minimises -alpha x, ours alpha * excess.
        grads = jax.vmap(jax.grad(coefficient.loss))(w, -x)
        new = jax.vmap(lambda w, g: optim.adam(optim.init(w), g, data["alphacase_lr"]).params)(
            w, grads
        )
        np.testing.assert_allclose(coefficient.value(w), data["alphacase_value"], rtol=1e-12)
        np.testing.assert_allclose(grads, data["alphacase_grad"], rtol=1e-12)
        np.testing.assert_allclose(new, data["alphacase_new_w"], rtol=1e-10)
