"""MuJoCo Playground's domain randomisation, one environment at a time."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax

# (mjx.Model, keys [E, 2]) -> models, and over which of their fields to vmap.
Draw = Callable[[Any, jax.Array], tuple[Any, Any]]
MODEL_KEY = "model_key"  # in a state's info


class RandomisedModel:
    """An environment of Playground whose model is drawn anew for each initial state.

    Playground's own wrapper draws one model for each environment of a batch, for good. Here a state
    keeps the key of its model, which is drawn again in each step: some hundred numbers, where the
    fields themselves would be in every state, and in every one of the reset pool.
    """

    def __init__(self, env: Any, draw: Draw):
        self.env, self._draw = env, draw

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    def reset(self, rng: jax.Array) -> Any:
        """Draw an initial state and its model. rng: [2], an untyped key."""
        rng, key = jax.random.split(rng)
        with self._drawn(key):
            return _keep(self.env.reset(rng), key)

    def step(self, state: Any, action: jax.Array) -> Any:
        """Take one step with the model of the state. action: [A]."""
        key = state.info[MODEL_KEY]
        with self._drawn(key):
            return _keep(self.env.step(state, action), key)

    @contextlib.contextmanager
    def _drawn(self, key: jax.Array) -> Iterator[None]:
        """Give the environment the model of a key, as Playground's wrapper does: by its private
        name, while JAX traces."""
        bare = self.env.unwrapped
        model = bare.mjx_model
        drawn, axes = self._draw(model, key[None])
        try:
            bare._mjx_model = jax.tree.map(_first, axes, drawn, is_leaf=lambda axis: axis is None)
            yield
        finally:
            bare._mjx_model = model


def _first(axis: int | None, field: Any) -> Any:
    return field if axis is None else field[0]


def _keep(state: Any, key: jax.Array) -> Any:
    return state.replace(info={**state.info, MODEL_KEY: key})
