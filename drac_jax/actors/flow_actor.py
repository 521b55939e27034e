"""The flow actor: a few Euler steps of a gated velocity from Gaussian noise to an action."""

import jax
import jax.numpy as jnp

from drac_jax.actors import step_network
from drac_jax.actors.step_network import StepNetwork
from drac_jax.networks.mlp import FLOAT32, Style
from drac_jax.types import Actor, Params

OPEN = 5.0  # the gates' first logit: a sigmoid of 0.993


def flow(
    action_size: int,
    steps: int = 4,
    hidden: tuple[int, ...] = (256, 256),
    style: Style = FLOAT32,
) -> Actor:
    """Make the actor a = tanh(x_1) that moves x_0 = z ~ N(0, I) along a velocity, given the
    observation, in `steps` Euler steps.

    The velocity is g (c - x), with gates g in (0, 1) and a candidate c, both of MLP(obs, x, step):
    a step is that of a gated recurrent unit, through which gradients neither vanish nor explode.
    z: [..., A]; style: how the network computes.

    Source: Flow-G of SAC Flow, arXiv 2509.25756. Differences: gates and candidate are outputs of
    one perceptron; a step is told by an indicator, not an embedded time; and no noise is added on
    the way, which there gives the density that DrAC does without. Raises ValueError for steps < 1.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} must be at least 1; use 4")
    network = step_network.make(hidden, 2 * action_size, style)

    def init(key: jax.Array, obs_size: int) -> Params:
        first_key, rest_key = jax.random.split(key)
        inputs = (jnp.zeros(obs_size), jnp.zeros(action_size), jnp.zeros(steps))
        return step_network.init(network, first_key, rest_key, inputs)

    def latent(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(key, (*shape, action_size))

    def apply(params: Params, obs: jax.Array, z: jax.Array) -> jax.Array:
        return jnp.tanh(integrate(network, params, obs, z, steps))

    return Actor(action_size, init, latent, apply, "normal")


def integrate(
    network: StepNetwork, params: Params, obs: jax.Array, z: jax.Array, steps: int
) -> jax.Array:
    """Take the Euler steps from z. -> [..., A], unbounded."""
    step_parts, evaluate = step_network.prepare(network, params, obs, jnp.eye(steps, dtype=z.dtype))

    def step(x: jax.Array, part: jax.Array) -> tuple[jax.Array, None]:
        candidate, gate = jnp.split(evaluate(x, part), 2, axis=-1)
        return x + jax.nn.sigmoid(gate + OPEN) * (candidate - x) / steps, None

    lead = jnp.broadcast_shapes(z.shape[:-1], obs.shape[:-1])
    start = jnp.broadcast_to(z, (*lead, z.shape[-1]))
    return jax.lax.scan(step, start, step_parts)[0]
