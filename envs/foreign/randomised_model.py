"""MuJoCo Playground's domain randomisation, one environment at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# (mjx.Model, keys [E, 2]) -> models, and over which of their fields to vmap.
Draw = Callable[[Any, jax.Array], tuple[Any, Any]]
MODEL_KEY = "model_key"  # in a state's info


class RandomisedModel:
    """An environment of Playground whose model is drawn anew for each initial state.

    A state keeps the key of its model, which is drawn again in each step: some hundred numbers,
    where the fields themselves would be in every state, and in every one of the reset pool.
    """

    def __init__(self, env: Any, draw: Draw):
        self.env, self._draw = env, draw

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    def reset(self, rng: jax.Array) -> Any:
        rng, key = jax.random.split(rng)
        return _keep(_only(self._drawn(key).reset(rng[None])), key)

    def step(self, state: Any, action: jax.Array) -> Any:
        key = state.info[MODEL_KEY]
        one = jax.tree.map(lambda x: jnp.asarray(x)[None], (state, action))
        return _keep(_only(self._drawn(key).step(*one)), key)

    def _drawn(self, key: jax.Array) -> Any:
        from mujoco_playground import wrapper  # an extra

        draw = lambda model: self._draw(model, key[None])
        return wrapper.BraxDomainRandomizationVmapWrapper(self.env, draw)


def _only(batch_of_one: Any) -> Any:
    return jax.tree.map(lambda x: x[0], batch_of_one)


def _keep(state: Any, key: jax.Array) -> Any:
    return state.replace(info={**state.info, MODEL_KEY: key})
