"""The diffusion actor: a chain of denoising steps from Gaussian noise to an action."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.actors import step_network
from drac_jax.actors.step_network import StepNetwork
from drac_jax.networks.columns import Columns, actor_seeing, cut
from drac_jax.networks.mlp import FLOAT32, MLP, Style, timestep_embedding
from drac_jax.types import Actor, Params

BETA_MIN, BETA_MAX = 0.1, 10.0  # of the reference's variance-preserving schedule
EMBEDDING_SIZE = 16


class Schedule(NamedTuple):
    """The coefficients of the steps, each [T]; index t = 0 is the least noisy.

    x_0 is estimated as x_scale x_t - noise_scale eps; the posterior of the next state has the mean
    clean_weight x_0 + kept_weight x_t and the standard deviation `deviation`, which is 0 at t = 0.
    """

    x_scale: np.ndarray
    noise_scale: np.ndarray
    clean_weight: np.ndarray
    kept_weight: np.ndarray
    deviation: np.ndarray


class Networks(NamedTuple):
    """The noise prediction: the embedding of t, and the network of one step."""

    time: MLP
    step: StepNetwork


class Denoiser(NamedTuple):
    """A diffusion actor with the parts that are regressed on instead of differentiated through.

    predict: (params, obs [B, O], x [B, A], at [B]) -> the noise in x [B, A], each row at its own
    step, integers, 0 the least noisy.
    """

    actor: Actor
    predict: Callable[[Params, jax.Array, jax.Array, jax.Array], jax.Array]
    schedule: Schedule


def diffusion(
    action_size: int,
    steps: int = 20,
    hidden: tuple[int, ...] = (256, 256),
    remat: bool = False,
    style: Style = FLOAT32,
) -> Actor:
    """Make the actor that denoises z_T ~ N(0, I) in `steps` steps, given the observation.

    Each step predicts the noise by MLP(obs, x_t, embedding of t), estimates the action, clips it
    to [-1, 1], and draws the next state from the posterior. The latents are all the noise of the
    chain: z: [..., steps, A], z[..., 0, :] the start and z[..., t, :] what step t > 0 adds.
    remat: compute the chain's activations again for its gradient instead of keeping them; style:
    how the networks compute, the time's without its layer norm.

    Source: DrDiffus of arXiv 2511.01374. The reference implementation reads its coefficients one
    step off and adds noise after the last step as well; this is the chain as it is defined.
    Raises ValueError for steps < 1.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} must be at least 1; the paper uses 20")
    networks = make_networks(action_size, hidden, style)

    def init(key: jax.Array, obs_size: int) -> Params:
        time_key, first_key, rest_key = jax.random.split(key, 3)
        inputs = (jnp.zeros(obs_size), jnp.zeros(action_size), jnp.zeros(EMBEDDING_SIZE))
        params = step_network.init(networks.step, first_key, rest_key, inputs)
        return params | {"time": networks.time.init(time_key, inputs[-1])}

    def latent(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(key, (*shape, steps, action_size))

    def apply(params: Params, obs: jax.Array, z: jax.Array) -> jax.Array:
        return chain(networks, params, obs, z, remat)

    return Actor(action_size, init, latent, apply, "normal")


def make_networks(action_size: int, hidden: tuple[int, ...], style: Style) -> Networks:
    """Make what predicts the noise, of the actor of these sizes."""
    time = MLP((2 * EMBEDDING_SIZE, EMBEDDING_SIZE), style._replace(layer_norm=False))
    return Networks(time, step_network.make(hidden, action_size, style))


def denoiser(
    action_size: int,
    steps: int = 20,
    hidden: tuple[int, ...] = (256, 256),
    style: Style = FLOAT32,
    columns: Columns = None,
) -> Denoiser:
    """Make `diffusion` with its parts. columns: of obs, that it sees. Raises ValueError for
    steps < 1."""
    actor = actor_seeing(diffusion(action_size, steps, hidden, style=style), columns)
    networks = make_networks(action_size, hidden, style)

    def predict(params: Params, obs: jax.Array, x: jax.Array, at: jax.Array) -> jax.Array:
        time_parts, evaluate = _prepare(networks, steps, params, cut(obs, columns))
        return evaluate(x, time_parts[at])

    return Denoiser(actor, predict, schedule(steps))


def _prepare(
    networks: Networks, steps: int, params: Params, obs: jax.Array
) -> tuple[jax.Array, Callable[[jax.Array, jax.Array], jax.Array]]:
    times = jnp.asarray(timestep_embedding(np.arange(steps), EMBEDDING_SIZE), obs.dtype)
    embedded = networks.time.apply(params["time"], times)
    return step_network.prepare(networks.step, params, obs, embedded)


def chain(
    networks: Networks, params: Params, obs: jax.Array, z: jax.Array, remat: bool
) -> jax.Array:
    """Denoise z[..., 0, :] to an action, in as many steps as z has."""
    steps, action_size = z.shape[-2:]
    time_parts, evaluate = _prepare(networks, steps, params, obs)

    def denoise(x: jax.Array, at: tuple) -> tuple[jax.Array, None]:
        coefficients, part, noise = at
        return posterior(coefficients, x, evaluate(x, part), noise), None

    lead = jnp.broadcast_shapes(z.shape[:-2], obs.shape[:-1])
    start = jnp.broadcast_to(z[..., 0, :], (*lead, action_size))
    coefficients = jax.tree.map(lambda table: jnp.asarray(table, z.dtype), schedule(steps))
    body = jax.checkpoint(denoise) if remat else denoise
    noise = jnp.moveaxis(z, -2, 0)
    return jax.lax.scan(body, start, (coefficients, time_parts, noise), reverse=True)[0]


def posterior(c: Schedule, x: jax.Array, eps: jax.Array, noise: jax.Array) -> jax.Array:
    """Draw the next state of x, given what its noise is taken to be. c: of one step."""
    clean = jnp.clip(c.x_scale * x - c.noise_scale * eps, -1.0, 1.0)
    return c.clean_weight * clean + c.kept_weight * x + c.deviation * noise


def schedule(steps: int) -> Schedule:
    """Compute the variance-preserving schedule of Xiao et al. (arXiv 2112.07804), as the
    reference uses it: b_min = 0.1, b_max = 10."""
    t = np.arange(1, steps + 1)
    log_alpha = -BETA_MIN / steps - 0.5 * (BETA_MAX - BETA_MIN) * (2 * t - 1) / steps**2
    alpha = np.exp(log_alpha)
    beta = 1.0 - alpha
    product = np.cumprod(alpha)
    before = np.concatenate([[1.0], product[:-1]])
    return Schedule(
        x_scale=np.sqrt(1.0 / product),
        noise_scale=np.sqrt(1.0 / product - 1.0),
        clean_weight=beta * np.sqrt(before) / (1.0 - product),
        kept_weight=(1.0 - before) * np.sqrt(alpha) / (1.0 - product),
        deviation=np.sqrt(beta * (1.0 - before) / (1.0 - product)),
    )
