"""Reparameterised policies: a deterministic map of an observation and a latent draw."""

from drac_jax.actors.amortized_actor import amortized
from drac_jax.actors.diffusion_actor import denoiser, diffusion
from drac_jax.actors.flow_actor import flow
from drac_jax.actors.gaussian_actor import gaussian
from drac_jax.actors.stein_actor import stein_start

__all__ = ["amortized", "denoiser", "diffusion", "flow", "gaussian", "stein_start"]
