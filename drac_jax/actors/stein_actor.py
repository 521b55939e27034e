"""The Stein actor: a learned Gaussian start, and particles that a score moves from there together.

The policy is what the chain leaves: tanh of particles that L steps of Stein's variational gradient
have moved. Each step is an invertible map (to first order in its size), so the log-density of the
particles is that of the start less step_size times the divergences, in closed form.

Source: S2AC, arXiv 2405.00987 (ICLR 2024), and the baseline of arXiv 2511.01374.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from drac_jax.actors.gaussian_actor import LOG_STD_MAX, LOG_STD_MIN, log_normal, log_tanh_slope
from drac_jax.diversity import rbf_kernel
from drac_jax.networks.mlp import FLOAT32, MLP, Style
from drac_jax.types import Params

STD_LIMITS = (0.1, 1.0)
NOISE_LIMIT = 3.0


class SteinStart(NamedTuple):
    """The law p0(s) of the particles before any step: a = mean(s) + std(s) * noise.

    init: (key, obs_size) -> params; noise: (key, shape) -> [*shape, A], standard normal cut at
    +-3; apply: (params, obs [..., O]) -> (mean, std), each [..., A].
    """

    action_size: int
    init: Callable[[jax.Array, int], Params]
    noise: Callable[[jax.Array, tuple[int, ...]], jax.Array]
    apply: Callable[[Params, jax.Array], tuple[jax.Array, jax.Array]]


class Particles(NamedTuple):
    """The n particles of B states, before tanh. x: [n, B, A]; log_prob: [n, B]."""

    x: jax.Array
    log_prob: jax.Array


def stein_start(
    action_size: int, hidden: tuple[int, ...] = (256, 256), style: Style = FLOAT32
) -> SteinStart:
    """Make the Gaussian start, its std between 0.1 and 1."""
    network = MLP((*hidden, 2 * action_size), style)

    def init(key: jax.Array, obs_size: int) -> Params:
        return network.init(key, jnp.zeros(obs_size))

    def noise(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.truncated_normal(key, -NOISE_LIMIT, NOISE_LIMIT, (*shape, action_size))

    def apply(params: Params, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean, log_std = jnp.split(network.apply(params, obs), 2, axis=-1)
        return mean, jnp.clip(jnp.exp(jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX)), *STD_LIMITS)

    return SteinStart(action_size, init, noise, apply)


def begin(mean: jax.Array, std: jax.Array, noise: jax.Array) -> Particles:
    """Place the particles mean + std * noise. mean, std: [B, A]; noise: [n, B, A].

    Their log-density is that of the whole Gaussian: as in the reference, not renormalised for the
    0.3 % that each dimension loses by the cut.
    """
    return Particles(mean + std * noise, log_normal(noise, jnp.log(std)).sum(axis=-1))


def stein_step(
    particles: Particles, score: Callable[[jax.Array], jax.Array], step_size: jax.Array | float
) -> Particles:
    """Move the particles of each state together. score: x [n, B, A] -> [n, B, A]."""
    x, log_prob = particles
    k, s = rbf_kernel.rbf(x, x), score(x)
    divergence = sum(rbf_kernel.divergence(k, s))
    return Particles(x + step_size * rbf_kernel.direction(k, s), log_prob - step_size * divergence)


def stein_chain(
    start: Particles,
    score: Callable[[jax.Array], jax.Array],
    step_size: jax.Array | float,
    steps: int,
) -> Particles:
    """Take `steps` steps; the gradient flows through all of them."""

    def step(particles: Particles, _: None) -> tuple[Particles, None]:
        return stein_step(particles, score, step_size), None

    return jax.lax.scan(step, start, length=steps)[0]


def squash(particles: Particles) -> tuple[jax.Array, jax.Array]:
    """Bring the particles into the box: -> actions [n, B, A] = tanh(x), and their log-density
    [n, B]."""
    x, log_prob = particles
    return jnp.tanh(x), log_prob - log_tanh_slope(x).sum(axis=-1)
