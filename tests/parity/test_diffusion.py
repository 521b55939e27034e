"""The diffusion actor against independently computed schedules, chains and actions."""

from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.actors import diffusion
from drac_jax.actors.diffusion_actor import schedule
from drac_jax.networks.mlp import timestep_embedding
from tests.support import reference
from tests.support.tolerances import assert_within, error_of


@pytest.mark.parametrize("steps", [5, 10, 20])
def test_schedule_is_the_references(steps):
    data, ours = reference.load("diffusion"), schedule(steps)
    theirs = {
        "x_scale": data[f"schedule{steps}_sqrt_recip_alphas_cumprod"],
        "noise_scale": data[f"schedule{steps}_sqrt_recipm1_alphas_cumprod"],
        "clean_weight": data[f"schedule{steps}_posterior_mean_coef1"],
        "kept_weight": data[f"schedule{steps}_posterior_mean_coef2"],
        "deviation": np.sqrt(data[f"schedule{steps}_posterior_variance"]),
    }
    for name, values in theirs.items():
        np.testing.assert_allclose(getattr(ours, name), values, rtol=1e-10, atol=1e-12)


def test_timestep_embedding_is_the_references():
    theirs = reference.load("diffusion")["time_embedding"]
    np.testing.assert_allclose(timestep_embedding(np.arange(20), 16), theirs, atol=1e-14)


@pytest.mark.parametrize("precision", reference.PRECISIONS)
@pytest.mark.parametrize("remat", [False, True])
def test_action_is_the_correct_chains(precision, remat):
    data = reference.load("diffusion")
    double = precision == "float64"
    with jax.enable_x64(True) if double else nullcontext():
        given = {k: jnp.asarray(data[k], precision) for k in data if k.startswith("net_")}
        params = reference.diffusion(given, "net_actor", "net_temb")
        noise = jnp.moveaxis(given["net_noise"], 0, 1).at[:, 0].set(given["net_x_T"])
        actor = diffusion(3, 20, (32, 32), remat)
        actions = jax.jit(actor.apply)(params, given["net_obs"], noise)
    assert_within(f"diffusion chain, {precision}", error_of(actions, data["net_action"]))


def test_actions_stay_in_the_box_and_latents_broadcast():
    actor = diffusion(2, 3, (8,))
    params = actor.init(jax.random.key(0), 5)
    z = 10.0 * actor.latent(jax.random.key(1), (4, 1))
    actions = actor.apply(params, jnp.ones((6, 5)), z)
    assert actions.shape == (4, 6, 2)
    assert (jnp.abs(actions) <= 1.0).all()
    one = actor.apply(params, jnp.ones(5), z[2, 0])
    assert_within("diffusion chain, float32", error_of(actions[2, 3], one))


def test_chain_without_steps_is_refused():
    with pytest.raises(ValueError, match="steps=0 must be at least 1"):
        diffusion(2, 0)
