"""Reparameterised policies: a deterministic map of an observation and a latent draw."""

from drac_jax.actors.amortized import amortized

__all__ = ["amortized"]
