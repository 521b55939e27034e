"""SQL's update against the reference implementation: the same weights, batch and latents."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from drac_jax.actors import amortized
from drac_jax.algorithms import sql
from drac_jax.diversity import rbf_kernel
from drac_jax.networks import critics, optim
from drac_jax.types import Transition
from tests.support import reference
from tests.support.reference import mlp, twin

HIDDEN = (32, 32)
NETS = sql.SqlNetworks(amortized(3, 3, HIDDEN), critics.twin_critic(HIDDEN))


@pytest.fixture(scope="module", params=reference.PRECISIONS)
def case(request) -> reference.Case:
    return reference.case("sql", request.param, parts_of_update, one_update)


def agent_of(data: dict) -> sql.SqlAgent:
    others = {name: data[f"hp_{name}"] for name in ("gamma", "tau", "alpha")}
    return sql.SqlAgent(
        optim.init(mlp(data, "init_actor")),
        optim.init(twin(data, "init", "q", jnp.stack)),
        twin(data, "init", "tq", jnp.stack),
        sql.SqlHParams(actor_lr=data["hp_lr"], critic_lr=data["hp_lr"], **others),
    )


def batch_of(data: dict) -> tuple[Transition, jax.Array]:
    """Return the batch and the latents; theirs have the batch before the particles."""
    obs, act, rew, done, next_obs = (data[k] for k in ("obs", "act", "rew", "done", "next_obs"))
    noise = [data[k].swapaxes(0, 1) for k in ("noise_target", "noise_a", "noise_a_updated")]
    return Transition(obs, act, rew, 1.0 - done, next_obs), jnp.stack(noise)


def kernel_gradient(x: jax.Array, y: jax.Array) -> jax.Array:
    """Differentiate k_ij with respect to x_i by autodiff, state by state. -> [B, n, m, A]."""

    def of_state(x: jax.Array, y: jax.Array) -> jax.Array:
        whole = jax.jacobian(lambda x: rbf_kernel.rbf(x[:, None], y[:, None]).kernel[0])(x)
        return jnp.einsum("ijia->ija", whole)

    return jax.vmap(of_state, in_axes=1)(x, y)


def parts_of_update(data: dict) -> dict[str, Any]:
    """Call the functions that an update is made of, one by one."""
    agent, (batch, latents) = agent_of(data), batch_of(data)
    hp, params = agent.hparams, agent.actor.params
    next_particles = NETS.actor.apply(params, batch.next_obs, latents[0])
    next_q = sql.particle_q(agent, NETS, batch.next_obs, latents[0])
    value = sql.soft_value(next_q, hp.alpha, 3)
    target = critics.td_target(batch, hp.gamma, value)
    loss_grad = jax.value_and_grad(critics.td_loss, has_aux=True)
    (critic_loss, q), critic_grads = loss_grad(agent.critic.params, NETS.critic, batch, target)
    critic = optim.adam(agent.critic, critic_grads, hp.critic_lr).params
    particles, _, score = sql.scored_particles(params, critic, NETS, batch.obs, latents[1])
    moved, pull_back = jax.vjp(lambda p: NETS.actor.apply(p, batch.obs, latents[2]), params)
    kernel = rbf_kernel.rbf(particles, moved)
    direction = rbf_kernel.direction(kernel, score)
    arrays = {
        "next_particles": next_particles.swapaxes(0, 1),
        "next_minq_target": next_q.T,
        "v_soft": value,
        "target": target,
        "q1": q[:, 0],
        "q2": q[:, 1],
        "critic_loss": critic_loss,
        "target_check_loss": critic_loss,
        "particles": particles.swapaxes(0, 1),
        "particles_updated": moved.swapaxes(0, 1),
        "kernel": kernel.kernel,
        "kernel_grad": kernel_gradient(particles, moved),
        "kernel_gamma": kernel.gamma,
        "bandwidth_sigma": rbf_kernel.width(kernel.gamma),
        "svgd_grad": direction.swapaxes(0, 1),
        "policy_loss_from_info": -moved.mean(),
    }
    (actor_grads,) = pull_back(-direction)
    return {"arrays": arrays, "critic_grads": critic_grads, "actor_grads": actor_grads}


def one_update(data: dict) -> dict[str, Any]:
    new, metrics = sql.update_step(agent_of(data), NETS, *batch_of(data))
    return {"new": new, "metrics": metrics}


(
    test_part_of_the_update_is_the_references,
    test_gradients_are_the_references,
    test_weights_after_updates_are_the_references,
) = reference.update_tests(
    [
        *("next_particles", "next_minq_target", "v_soft", "target", "q1", "q2", "critic_loss"),
        *("target_check_loss", "particles", "particles_updated", "kernel", "kernel_grad"),
        *("kernel_gamma", "bandwidth_sigma", "svgd_grad", "policy_loss_from_info"),
    ],
)


def test_metrics_are_the_references(case):
    metrics, data = case.results["metrics"], case.data
    theirs = {
        "critic/loss": data["critic_loss"],
        "critic/q": (data["q1"] + data["q2"]).mean() / 2.0,
        "critic/soft_value": data["v_soft"].mean(),
        "actor/kernel_width": data["bandwidth_sigma"].mean(),
    }
    for name, value in theirs.items():
        case.assert_close("values", metrics[name], value)
