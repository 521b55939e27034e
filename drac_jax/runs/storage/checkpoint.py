"""Checkpoints of a whole run, written and read by Orbax."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding

from drac_jax.training.loop import Sums, TrainState

KEEP = 2  # the newest, and the one to fall back to
STATES_ON_DISK = KEEP + 2  # at once: those, one being written, that of an unfinished epoch

RunState = tuple[TrainState, Sums | None]  # None at the end of an epoch


class Checkpoints:
    """The numbered checkpoints of one run, the newest few kept: of ends of epochs, by epoch, or of
    states within an epoch, by iteration.

    An item `agent` and an item `loop` (environment, replay, keys) make a policy loadable without
    its replay; `meta` holds the configuration as JSON, `sums` those of an unfinished epoch.
    """

    def __init__(self, folder: Path, create: bool = True, keep: int = KEEP):
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=create, enable_async_checkpointing=False
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def numbers(self) -> list[int]:
        """List the numbers of complete checkpoints, the newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def save(self, number: int, saved: RunState, meta: dict[str, Any]) -> None:
        """Write a checkpoint; it appears under its name only when it is whole."""
        state, sums = saved
        arrays = _storable(state)
        items: dict[str, Any] = {
            "agent": ocp.args.StandardSave(arrays.agent),
            "loop": ocp.args.StandardSave(_loop(arrays)),
            "meta": ocp.args.JsonSave(meta),
        }
        if sums is not None:
            items["sums"] = ocp.args.StandardSave(sums._asdict())
        self._manager.save(number, args=ocp.args.Composite(**items))

    def save_agent(self, number: int, agent: Any, meta: dict[str, Any]) -> None:
        """Write agents alone, as `save` does."""
        items = ocp.args.Composite(
            agent=ocp.args.StandardSave(_storable(agent)), meta=ocp.args.JsonSave(meta)
        )
        self._manager.save(number, args=items)

    def meta(self, number: int) -> dict[str, Any]:
        """Read the configuration that a checkpoint was written with."""
        return self._restore(number, meta=ocp.args.JsonRestore())["meta"]

    def restore(self, number: int, like: RunState) -> RunState:
        """Read a run. like: the shapes; those without a sharding go to the first device."""
        state, sums = like
        arrays = _storable_shapes(state)
        wanted = {"agent": arrays.agent, "loop": _loop(arrays)}
        if sums is not None:
            wanted["sums"] = _storable_shapes(sums)._asdict()
        given = {name: ocp.args.StandardRestore(shapes) for name, shapes in wanted.items()}
        items = self._restore(number, **given)
        found = _as_it_was(state, TrainState(agent=items["agent"], **items["loop"]))
        return found, None if sums is None else Sums(**items["sums"])

    def restore_agent(self, number: int, like: Any) -> Any:
        """Read the agent alone. like: its shapes, as for `restore`."""
        arrays = _storable_shapes(like)
        items = self._restore(number, agent=ocp.args.StandardRestore(arrays))
        return _as_it_was(like, items["agent"])

    def drop(self, number: int) -> None:
        """Remove a checkpoint that cannot be read, so that it can be saved again."""
        self._manager.delete(number)

    def _restore(self, number: int, **items: Any) -> Any:
        return self._manager.restore(number, args=ocp.args.Composite(**items))


def _loop(state: TrainState) -> dict[str, Any]:
    return {name: value for name, value in state._asdict().items() if name != "agent"}


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _is_empty(x: Any) -> bool:
    return 0 in x.shape


def _storable(tree: Any) -> Any:
    """Replace what Orbax does not store: typed PRNG keys by their words, and arrays without
    elements, of which a simulator's state has many, by None."""

    def store(x: jax.Array) -> jax.Array | None:
        if _is_empty(x):
            return None
        return jax.random.key_data(x) if _is_key(x) else x

    return jax.tree.map(store, tree)


def _storable_shapes(tree: Any) -> Any:
    """Do as `_storable` with shapes, and say where each array is to live."""

    def shape(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct | None:
        if _is_empty(x):
            return None
        words = jax.eval_shape(jax.random.key_data, x) if _is_key(x) else x
        place = x.sharding or SingleDeviceSharding(jax.local_devices()[0])
        return jax.ShapeDtypeStruct(words.shape, words.dtype, sharding=place)

    return jax.tree.map(shape, tree)


def _as_it_was(like: Any, arrays: Any) -> Any:
    """Undo `_storable`. like: the shapes of the tree that was stored."""

    def wrap(ref: jax.ShapeDtypeStruct, x: jax.Array | None) -> jax.Array:
        if x is None:
            empty = jax.jit(lambda: jnp.zeros(ref.shape, ref.dtype), out_shardings=ref.sharding)
            return empty()
        return jax.random.wrap_key_data(x) if _is_key(ref) else x

    return jax.tree.map(wrap, like, arrays)
