"""The network that an actor of several steps evaluates once in each."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from drac_jax.networks.mlp import MLP, Activation, PartsDense, Style, matmul
from drac_jax.types import Params


class StepNetwork(NamedTuple):
    """A perceptron of the observation, the state x of the chain, and the encoded time, whose first
    layer is apart."""

    first: PartsDense
    activation: Activation
    rest: MLP
    style: Style


def make(hidden: tuple[int, ...], outputs: int, style: Style) -> StepNetwork:
    """Make a network with `outputs` outputs."""
    rest = MLP((*hidden[1:], outputs), style)
    return StepNetwork(PartsDense(hidden[0], style), Activation(style), rest, style)


def init(
    network: StepNetwork, first_key: jax.Array, rest_key: jax.Array, inputs: tuple[jax.Array, ...]
) -> dict[str, Params]:
    """Draw the parameters. inputs: an observation, a state and an encoded time, for their sizes."""
    hidden = jnp.zeros(network.first.features)
    params = {
        "first": network.first.init(first_key, *inputs),
        "rest": network.rest.init(rest_key, hidden),
    }
    if not network.style.layer_norm:
        return params
    return params | {"activation": network.activation.init(rest_key, hidden)}


def prepare(
    network: StepNetwork, params: dict[str, Params], obs: jax.Array, times: jax.Array
) -> tuple[jax.Array, Callable[[jax.Array, jax.Array], jax.Array]]:
    """Compute what the first layer makes of the observation and of the times: once, not in every
    step.

    obs: [..., O]; times: [T, E], encoded. -> the times' part [T, H], and the function of a state
    [..., A] and a row of that part [H] which completes the evaluation.
    """
    kernel, bias = (params["first"]["params"][name] for name in ("kernel", "bias"))
    rows = kernel.shape[0] - times.shape[-1]
    of_obs, of_x, of_time = jnp.split(kernel, [obs.shape[-1], rows])
    product = partial(matmul, precision=network.style.precision)
    obs_part = product(obs, of_obs) + bias

    def evaluate(x: jax.Array, time_part: jax.Array) -> jax.Array:
        summed = obs_part + time_part + product(x, of_x)
        hidden = network.activation.apply(params.get("activation", {}), summed)
        return network.rest.apply(params["rest"], hidden)

    return product(times, of_time), evaluate
