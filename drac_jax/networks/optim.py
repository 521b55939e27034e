"""Adam on a Trainable; the learning rate may be a traced value, so that a sweep can vary it."""

import jax
import optax

from drac_jax.types import ClippedState, Params, Trainable


def init(params: Params) -> Trainable:
    """Pair parameters with a fresh Adam state."""
    return Trainable(params, optax.adam(0.0).init(params))


def adam(trainable: Trainable, grads: Params, learning_rate: jax.Array | float) -> Trainable:
    """Take one Adam step (betas 0.9 and 0.999, eps 1e-8), of clipped gradients where the state is a
    ClippedState."""
    state = trainable.opt_state
    if isinstance(state, ClippedState):
        clip = optax.clip_by_global_norm(state.max_norm)
        grads, _ = clip.update(grads, optax.EmptyState())
        stepped = adam(Trainable(trainable.params, state.inner), grads, learning_rate)
        return stepped._replace(opt_state=state._replace(inner=stepped.opt_state))
    updates, opt_state = optax.adam(learning_rate).update(grads, state)
    return Trainable(optax.apply_updates(trainable.params, updates), opt_state)
