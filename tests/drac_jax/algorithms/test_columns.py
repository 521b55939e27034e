"""Actors and critics that see different columns of the observations."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.algorithms.registry import METHODS
from drac_jax.networks import columns
from drac_jax.networks.critics import twin_critic
from drac_jax.types import Algorithm, EnvSpec
from tests.support.small_methods import DISTINCT, small_options
from tests.support.toys import half_seen

SPEC = half_seen().spec
OBS = jax.random.uniform(jax.random.key(2), (16, 3))


def small(method: str, spec: EnvSpec) -> Algorithm:
    return METHODS[method].make(spec, small_options(method))


def start(method: str, spec: EnvSpec) -> Any:
    return small(method, spec).init(jax.random.key(0), METHODS[method].hparams, spec.obs_size)


@pytest.mark.parametrize("method", DISTINCT)
def test_networks_have_the_inputs_that_they_see(method):
    """Both views are two columns wide, so the networks are those of a task with two in all."""
    seen = jax.eval_shape(lambda: start(method, SPEC))
    of_two = jax.eval_shape(lambda: start(method, EnvSpec("two", 2, 1, 4)))
    assert jax.tree.map(lambda x: x.shape, seen) == jax.tree.map(lambda x: x.shape, of_two)


@pytest.mark.parametrize("method", DISTINCT)
def test_actions_do_not_change_with_what_the_actor_does_not_see(method):
    algorithm, agent = small(method, SPEC), start(method, SPEC)

    def actions(at: int) -> np.ndarray:
        return np.asarray(algorithm.act(agent, OBS.at[:, at].add(5.0), jax.random.key(1)))

    before = np.asarray(algorithm.act(agent, OBS, jax.random.key(1)))
    assert (actions(1) != before).any()
    assert (actions(2) != before).any() == METHODS[method].acts_with_critics
    assert (actions(0) != before).any()


def test_critics_do_not_change_with_what_they_do_not_see():
    critic = twin_critic((8, 8), columns=(1, 3))
    params, action = critic.init(jax.random.key(0), 3, 1), jnp.ones((16, 1))
    q = critic.apply(params, OBS, action)
    np.testing.assert_array_equal(critic.apply(params, OBS.at[:, 0].add(5.0), action), q)
    assert (critic.apply(params, OBS.at[:, 2].add(5.0), action) != q).all()


@pytest.mark.parametrize("view", [(0, 4), (2, 2), (-1, 2)])
def test_columns_that_there_are_not_are_refused(view):
    said = r"actor_obs or critic_obs=\(.*\) must be columns of obs \[3\]; use \(first, end\) with"
    with pytest.raises(ValueError, match=said):
        columns.cut(OBS, view)
    for spec in (SPEC._replace(actor_obs=view), SPEC._replace(critic_obs=view)):
        for method in ("amortized", "sac"):
            with pytest.raises(ValueError, match=said):
                jax.eval_shape(lambda spec=spec, method=method: start(method, spec))
