"""What a lower precision may touch: the factors of the networks' matrix products, nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax.actors import amortized
from drac_jax.algorithms.registry import METHODS
from drac_jax.networks import critics, mlp
from drac_jax.networks.mlp import MLP, Style, rounded_product
from drac_jax.types import EnvSpec, Transition
from tests.support.small_methods import DISTINCT

SPEC = EnvSpec("task", 3, 2, 10)
HIDDEN = (24, 40)  # sizes that no other axis here has
BATCH = 5
SMALL: dict[str, dict[str, Any]] = {
    "diffusion": {"steps": 3},
    "dacer": {"steps": 3, "entropy_samples": 8},
    "sql": {"particles": 4},
    "s2ac": {"particles": 4, "svgd_steps": 2},
}


def equations(jaxpr: Any) -> Iterator[Any]:
    for eqn in jaxpr.eqns:
        yield eqn
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                body = getattr(inner, "jaxpr", inner)
                if hasattr(body, "eqns"):
                    yield from equations(body)


def traced_update(method: str, precision: str) -> tuple[list, Any, Any]:
    """Trace an update. -> its products with a hidden layer, the agent before, and after."""
    options = replace(
        METHODS[method].options, hidden=HIDDEN, precision=precision, **SMALL.get(method, {})
    )
    algorithm = METHODS[method].make(SPEC, options)
    hparams = METHODS[method].hparams
    agent = jax.eval_shape(lambda key: algorithm.init(key, hparams, 3), jax.random.key(0))
    lead = (algorithm.num_minibatches, BATCH)
    obs, action, scalar = (jnp.zeros((*lead, *size)) for size in ((3,), (2,), ()))
    batch = Transition(obs, action, scalar, scalar, obs)
    traced = jax.make_jaxpr(algorithm.update, return_shape=True)
    jaxpr, (after, _) = traced(agent, batch, jax.random.key(1))
    dots = [eqn for eqn in equations(jaxpr.jaxpr) if eqn.primitive.name == "dot_general"]
    sizes = set(HIDDEN)
    return [d for d in dots if any(sizes & {*v.aval.shape} for v in d.invars)], agent, after


@pytest.mark.parametrize("method", DISTINCT)
def test_bfloat16_rounds_every_product_of_the_networks_and_keeps_everything_else(
    method, monkeypatch
):
    monkeypatch.setattr(mlp, "multiplies_bfloat16", lambda: True)
    dots, before, after = traced_update(method, "bfloat16")
    assert len(dots) >= 15  # three layers, forward and backward, of actor and critics
    for dot in dots:
        assert {v.aval.dtype for v in dot.invars} == {jnp.dtype(jnp.bfloat16)}
        assert dot.outvars[0].aval.dtype == jnp.float32
    for leaf in jax.tree.leaves((before, after)):
        assert leaf.dtype in (jnp.float32, jnp.int32)


@pytest.mark.parametrize("method", DISTINCT)
@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_float32_and_tf32_say_so_in_every_product_forward_and_backward(method, precision):
    expected = {"float32": jax.lax.Precision.HIGHEST, "tf32": jax.lax.Precision.HIGH}[precision]
    dots, _, _ = traced_update(method, precision)
    assert len(dots) >= 15
    for dot in dots:
        assert {v.aval.dtype for v in dot.invars} == {jnp.dtype(jnp.float32)}
        assert dot.params["precision"] == (expected, expected)


@pytest.mark.parametrize("native", [False, True])
def test_rounded_product_and_its_gradients_are_those_of_the_rounded_factors(native, monkeypatch):
    monkeypatch.setattr(mlp, "multiplies_bfloat16", lambda: native)
    x, y, pull = (
        jax.random.normal(key, shape)
        for key, shape in zip(
            jax.random.split(jax.random.key(0), 3), [(7, 5), (5, 3), (7, 3)], strict=True
        )
    )
    out, pull_back = jax.vjp(rounded_product, x, y)
    of_x, of_y = pull_back(pull)
    x, y, pull = (np.asarray(v.astype(jnp.bfloat16).astype(jnp.float32)) for v in (x, y, pull))
    for ours, expected in ((out, x @ y), (of_x, pull @ y.T), (of_y, x.T @ pull)):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.heavy
def test_bfloat16_actions_and_values_are_within_its_rounding_of_float32():
    """A factor is rounded by at most 2^-9; three layers of sums stay within 2 %."""
    obs, z, action = (
        jax.random.normal(key, (64, size))
        for key, size in zip(jax.random.split(jax.random.key(0), 3), (3, 16, 2), strict=True)
    )
    for make, sizes, arguments in (
        (lambda style: amortized(2, style=style), (3,), (obs, z)),
        (lambda style: critics.twin_critic(style=style), (3, 2), (obs, action)),
    ):
        exact, rounded = (
            make(Style()),
            make(Style("bfloat16")),
        )
        params = exact.init(jax.random.key(1), *sizes)
        ours, expected = (f.apply(params, *arguments) for f in (rounded, exact))
        scale = np.abs(expected).max()
        assert 1e-5 * scale < np.abs(ours - expected).max() < 0.02 * scale


def test_layer_norm_makes_hidden_layers_blind_to_the_scale_of_the_first():
    network = MLP((*HIDDEN, 2), Style(layer_norm=True))
    x = jax.random.normal(jax.random.key(0), (6, 3))
    params = network.init(jax.random.key(1), x)
    scaled = jax.tree.map(lambda leaf: leaf, params)
    scaled["params"]["PartsDense_0"] = jax.tree.map(
        lambda leaf: 100.0 * leaf, params["params"]["PartsDense_0"]
    )
    np.testing.assert_allclose(network.apply(scaled, x), network.apply(params, x), atol=1e-3)
    assert np.abs(network.apply(params, x)).max() > 1e-2


@pytest.mark.parametrize("method", DISTINCT)
def test_every_method_takes_layer_norm(method):
    options = replace(METHODS[method].options, hidden=HIDDEN, **SMALL.get(method, {}))
    counts = []
    for layer_norm in (False, True):
        algorithm = METHODS[method].make(SPEC, replace(options, layer_norm=layer_norm))
        agent = jax.eval_shape(
            lambda key, make=algorithm.init: make(key, METHODS[method].hparams, 3),
            jax.random.key(0),
        )
        counts.append(
            [
                sum(leaf.size for leaf in jax.tree.leaves(part.params))
                for part in (agent.actor, agent.critic)
            ]
        )
    (actor, critic), (norm_actor, norm_critic) = counts
    assert norm_actor - actor == 2 * sum(HIDDEN)
    assert norm_critic - critic == 2 * 2 * sum(HIDDEN)


@pytest.mark.heavy
def test_an_update_in_bfloat16_at_the_papers_sizes_ends_on_this_device():
    options = replace(METHODS["sac"].options, precision="bfloat16")
    algorithm = METHODS["sac"].make(SPEC, options)
    agent = algorithm.init(jax.random.key(0), METHODS["sac"].hparams, 3)
    batch = Transition(*(jnp.ones((1, 256, *size)) for size in ((3,), (2,), (), (), (3,))))
    agent, metrics = jax.jit(algorithm.update)(agent, batch, jax.random.key(1))
    assert all(np.isfinite(value) for value in metrics.values())
