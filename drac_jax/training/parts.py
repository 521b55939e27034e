"""The parts of one iteration of the loop, for who looks into one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from drac_jax.types import Metrics, Transition

Updated = tuple[Any, Metrics, Transition, jax.Array]


class Parts(NamedTuple):
    """What an iteration is made of; `Train.advance` takes them in this order.

    collect: (TrainState) -> (TrainState, keys of its update calls).
    update: (TrainState, key) -> (agent, metrics, the minibatches and the key that made them).
    slow_update: (TrainState) -> the same, at the end of a segment; None where there is none.
    """

    collect: Callable[[Any], tuple[Any, jax.Array]]
    update: Callable[[Any, jax.Array], Updated]
    slow_update: Callable[[Any], Updated] | None
