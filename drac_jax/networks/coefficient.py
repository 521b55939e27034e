"""One learned coefficient: the multiplier of a constraint, positive by its parameterisation."""

import jax
import jax.numpy as jnp


def value(w: jax.Array) -> jax.Array:
    """Map the free parameter to alpha: exp(w) if w < 0 else w + 1, smooth at 0."""
    # The untaken branch must stay finite, or its gradient is 0 * inf.
    return jnp.where(w < 0.0, jnp.exp(jnp.minimum(w, 0.0)), w + 1.0)


def parameter(alpha: jax.Array | float) -> jax.Array:
    """Invert `value`: the w at which alpha starts."""
    alpha = jnp.asarray(alpha, jnp.float32)
    return jnp.where(alpha < 1.0, jnp.log(jnp.minimum(alpha, 1.0)), alpha - 1.0)


def loss(w: jax.Array, excess: jax.Array) -> jax.Array:
    """Compute alpha * excess: minimised, alpha grows while the constraint's excess is negative."""
    return value(w) * jax.lax.stop_gradient(excess)
