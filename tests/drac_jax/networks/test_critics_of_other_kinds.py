"""Residual critics and histograms as values, beside critics that are perceptrons and numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from drac_jax.networks.critics import regress, twin_critic
from drac_jax.networks.mlp import NORM_EPS
from drac_jax.networks.optim import init
from drac_jax.networks.value_heads import SMOOTHING, histogram, spread
from drac_jax.types import Transition

HEAD = histogram(-10.0, 10.0, 21)
KINDS = {
    "plain, number": twin_critic((16, 16)),
    "residual, number": twin_critic((16, 16), layers="residual"),
    "plain, histogram": twin_critic((16, 16), head=HEAD),
    "residual, histogram": twin_critic((16, 16), layers="residual", head=HEAD),
}


def batch(size: int = 32) -> Transition:
    keys = jax.random.split(jax.random.key(0), 2)
    obs, action = (jax.random.normal(key, (size, 3)) for key in keys)
    return Transition(obs, action, jnp.zeros(size), jnp.ones(size), obs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_critic_learns_the_values_it_is_shown(kind):
    critic, data = KINDS[kind], batch()
    target = 3.0 * jnp.sin(data.obs[:, 0]) + data.action[:, 0]
    trainable = init(critic.init(jax.random.key(1), 3, 3))

    @jax.jit
    def fit(trainable):
        def step(trainable, _):
            return regress(trainable, critic, data, target, 3e-3)[0], None

        return jax.lax.scan(step, trainable, None, 600)[0]

    before = critic.apply(trainable.params, data.obs, data.action)
    after = critic.apply(fit(trainable).params, data.obs, data.action)
    assert before.shape == after.shape == (32, 2)
    assert np.abs(before - target[:, None]).mean() > 1.0
    assert np.abs(after - target[:, None]).mean() < 0.2


def test_a_targets_shares_are_those_of_its_gaussian():
    edges = np.linspace(-2.0, 3.0, 11)
    target = np.array([-2.0, 0.1, 2.9])
    ours = spread(jnp.asarray(target), jnp.asarray(edges))
    below = norm.cdf(edges, target[:, None], SMOOTHING * 0.5)
    theirs = np.diff(below) / (below[:, -1:] - below[:, :1])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_mean_of_a_targets_histogram_is_the_target():
    target = jnp.linspace(-8.0, 8.0, 33)
    shares = spread(target, jnp.linspace(-10.0, 10.0, 22))
    value = HEAD.value(jnp.log(shares + 1e-30)[..., None] * jnp.ones(2))
    np.testing.assert_allclose(value, np.stack([target, target], axis=1), atol=0.01)


def test_targets_outside_the_range_count_as_its_ends():
    out = jnp.zeros((2, 21, 2))
    loss = [HEAD.loss(out, jnp.full(2, target)) for target in (-1e6, -10.0, -9.5)]
    assert loss[0] == loss[1] and np.isfinite(loss).all()
    steep = out.at[:, 0].set(5.0)
    assert HEAD.loss(steep, jnp.full(2, -1e6)) < HEAD.loss(steep, jnp.full(2, 1e6))


def test_residual_blocks_add_to_what_they_are_given():
    critic = KINDS["residual, number"]
    params = critic.init(jax.random.key(1), 3, 3)
    silent = jax.tree_util.tree_map_with_path(
        lambda path, x: jnp.zeros_like(x) if "PartsDense_2" in str(path) else x, params
    )
    data = batch()
    q = critic.apply(silent, data.obs, data.action)
    member = jax.tree.map(lambda x: np.asarray(x[0], np.float64), silent["params"])
    first, last = member["PartsDense_0"], member["PartsDense_3"]
    x = np.concatenate([data.obs, data.action], axis=1) @ first["kernel"] + first["bias"]
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + NORM_EPS)
    np.testing.assert_allclose(q[:, 0], (x @ last["kernel"] + last["bias"])[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: twin_critic((16, 8), layers="residual"), "use \\(256, 256\\)"),
        (lambda: histogram(1.0, 1.0), "two finite numbers"),
        (lambda: histogram(0.0, 1.0, 1), "bins=1"),
    ],
)
def test_what_cannot_work_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
