"""The Stein actor, and the sizes that its users refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.actors import amortized, stein_actor, stein_start
from drac_jax.algorithms import make_s2ac, make_sql

START = stein_start(2, (16, 16))


def test_start_is_cut_at_three_std_of_at_most_one():
    params = START.init(jax.random.key(0), 3)
    params = jax.tree.map(lambda x: 100.0 * x, params)  # saturates both limits of the std
    obs = jax.random.normal(jax.random.key(1), (500, 3))
    mean, std = START.apply(params, obs)
    assert std.min() == pytest.approx(0.1) and std.max() == 1.0
    begin = stein_actor.begin(mean, std, START.noise(jax.random.key(2), (4, 500)))
    assert (jnp.abs(begin.x - mean) <= 3.0 * std + 1e-4).all()
    assert np.isfinite(begin.log_prob).all()


def test_log_density_of_the_start_is_that_of_the_gaussian():
    mean, std = jnp.array([[0.3, -1.0]]), jnp.array([[0.2, 0.9]])
    begin = stein_actor.begin(mean, std, START.noise(jax.random.key(0), (5, 1)))
    expected = jax.scipy.stats.norm.logpdf(begin.x, mean, std).sum(axis=-1)
    np.testing.assert_allclose(begin.log_prob, expected, rtol=1e-5)


def test_squashed_log_density_is_that_of_the_change_of_variable():
    x = jax.random.normal(jax.random.key(0), (5, 1, 2))
    actions, log_prob = stein_actor.squash(stein_actor.Particles(x, jnp.zeros((5, 1))))
    np.testing.assert_allclose(actions, jnp.tanh(x))
    np.testing.assert_allclose(
        log_prob, -jnp.log1p(-jnp.square(jnp.tanh(x))).sum(axis=-1), rtol=1e-4
    )
    far = stein_actor.squash(stein_actor.Particles(jnp.full((1, 1, 2), 50.0), jnp.zeros((1, 1))))[1]
    assert np.isfinite(far).all()


def test_chain_ends_at_the_law_of_its_score():
    """100 particles, from far away, under the score of a normal of mean 1 and std 0.5."""
    noise = jax.random.truncated_normal(jax.random.key(0), -3.0, 3.0, (100, 1, 1))
    begin = stein_actor.begin(jnp.full((1, 1), -1.0), jnp.full((1, 1), 0.1), noise)
    chain = jax.jit(
        lambda begin: stein_actor.stein_chain(begin, lambda x: 4.0 * (1.0 - x), 0.1, 500)
    )
    x = chain(begin).x
    np.testing.assert_allclose(x.mean(), 1.0, atol=0.05)
    np.testing.assert_allclose(x.std(), 0.5, atol=0.1)


@pytest.mark.parametrize("particles", [0, 1])
def test_fewer_than_two_particles_are_refused(particles):
    with pytest.raises(ValueError, match=f"particles={particles} .* the paper uses 32"):
        make_sql(amortized(2, 2), particles)
    with pytest.raises(ValueError, match=f"particles={particles} .* the paper uses 10"):
        make_s2ac(START, particles)


def test_a_chain_of_no_steps_is_refused():
    with pytest.raises(ValueError, match="svgd_steps=0 must be at least 1"):
        make_s2ac(START, svgd_steps=0)
