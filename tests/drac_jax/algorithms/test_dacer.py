import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.actors import diffusion
from drac_jax.algorithms import DacerHParams, dacer, make_dacer
from drac_jax.networks.distributional import distributional_twin
from drac_jax.types import Transition

OBS, SIZE = 3, 2
ACTOR = diffusion(SIZE, 3, (8, 8))
SMALL = {"entropy_samples": 20, "critic": distributional_twin((8, 8))}


CLIPPED, SQUASHED = (make_dacer(ACTOR, squash, **SMALL) for squash in (dacer.clip, jnp.tanh))
init = jax.jit(CLIPPED.init, static_argnums=2)
slow_update = jax.jit(CLIPPED.slow_update)


def agent_of(**hparams):
    return init(jax.random.key(0), DacerHParams(**hparams), OBS)


def minibatch(states: int) -> Transition:
    scalar = jnp.zeros((1, states))
    obs = jax.random.normal(jax.random.key(1), (1, states, OBS))
    return Transition(obs, jnp.zeros((1, states, SIZE)), scalar, scalar, obs)


def test_tanh_keeps_noisy_actions_inside_the_box_where_clip_puts_them_on_its_edge():
    edges = []
    for algorithm in (CLIPPED, SQUASHED):
        actions = jax.jit(algorithm.act)(agent_of(), jnp.ones((200, OBS)), jax.random.key(2))
        assert (jnp.abs(actions) <= 1.0).all()
        edges.append(int((jnp.abs(actions) == 1.0).sum()))
    assert edges[0] > 0 == edges[1]


def test_gradient_is_zero_through_clip_and_alive_through_tanh_outside_the_box():
    slopes = {squash: jax.grad(squash)(1.5) for squash in (dacer.clip, jnp.tanh)}
    assert slopes[dacer.clip] == 0.0 < slopes[jnp.tanh]


@pytest.mark.parametrize(("target", "grows"), [(-20.0, False), (20.0, True)])
def test_alpha_grows_while_the_entropy_is_below_its_target(target, grows):
    agent = agent_of(target_entropy=target)
    new, metrics = slow_update(agent, minibatch(5), jax.random.key(3))
    assert -20.0 < metrics["actor/entropy"] < 20.0
    assert (new.alpha.params > agent.alpha.params) == grows
    assert jax.tree.structure(new) == jax.tree.structure(agent)
    for before, after in zip(jax.tree.leaves(agent), jax.tree.leaves(new), strict=True):
        assert (before.dtype, before.weak_type) == (after.dtype, after.weak_type)


def test_entropy_samples_carry_the_exploration_noise():
    """A policy that is otherwise almost deterministic has the entropy of its noise."""
    still = ACTOR._replace(latent=lambda key, shape: jnp.zeros((*shape, 3, SIZE)))
    algorithm = make_dacer(
        still, lambda action: action, 1, 2000, critic=distributional_twin((8, 8))
    )
    agent = agent_of(alpha_init=2.0, noise_scale=0.1)
    metrics = jax.jit(algorithm.slow_update)(agent, minibatch(3), jax.random.key(4))[1]
    expected = SIZE * (0.5 * np.log(2.0 * np.pi * np.e) + np.log(0.2))
    np.testing.assert_allclose(metrics["actor/entropy"], expected, atol=0.05)


def test_states_beyond_a_chunk_are_sampled_as_well():
    nets = dacer.DacerNetworks(ACTOR, dacer.distributional.distributional_twin((8, 8)), dacer.clip)
    count = dacer.STATES_AT_ONCE + 3
    draw = jax.jit(lambda agent, key: dacer.entropy_actions(agent, nets, obs, key, 4))
    obs = jnp.ones((count, OBS))
    actions = draw(agent_of(), jax.random.key(5))
    assert actions.shape == (count, 4, SIZE)
    inside = actions[jnp.abs(actions) < 1.0]
    assert len(np.unique(inside)) == inside.size


def test_mode_is_without_exploration_noise():
    mode = jax.jit(CLIPPED.mode)
    modes = [mode(agent_of(alpha_init=alpha), jnp.ones((4, OBS))) for alpha in (0.5, 5.0)]
    np.testing.assert_array_equal(*modes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixture_components": 0}, "mixture_components=0 must be in 1..entropy_samples=200"),
        ({"mixture_components": 9, "entropy_samples": 8}, "mixture_components=9 must be"),
        ({"entropy_period": 0}, "entropy_period=0 must be at least 1"),
    ],
)
def test_static_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_dacer(ACTOR, **options)
