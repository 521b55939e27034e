"""Adam on a Trainable; the learning rate may be a traced value, so that a sweep can vary it."""

import jax
import optax

from drac_jax.types import Params, Trainable


def init(params: Params) -> Trainable:
    """Pair parameters with a fresh Adam state."""
    return Trainable(params, optax.adam(0.0).init(params))


def adam(trainable: Trainable, grads: Params, learning_rate: jax.Array | float) -> Trainable:
    """Take one Adam step (betas 0.9 and 0.999, eps 1e-8)."""
    optimizer = optax.adam(learning_rate)
    updates, opt_state = optimizer.update(grads, trainable.opt_state)
    return Trainable(optax.apply_updates(trainable.params, updates), opt_state)
