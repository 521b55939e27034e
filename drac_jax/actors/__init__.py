"""Reparameterised policies: a deterministic map of an observation and a latent draw."""

from drac_jax.actors.amortized import amortized
from drac_jax.actors.diffusion import diffusion
from drac_jax.actors.gaussian import gaussian
from drac_jax.actors.stein import stein_start

__all__ = ["amortized", "diffusion", "gaussian", "stein_start"]
