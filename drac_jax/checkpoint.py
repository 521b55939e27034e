"""Checkpoints of a whole TrainState through Orbax, and the way back from a damaged one."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding

from drac_jax.train import TrainState

KEEP = 2  # the newest, and the one to fall back to


class Checkpoints:
    """The checkpoints of one run, numbered by epoch, the newest two kept.

    An item `agent` and an item `loop` (environment, replay, keys) make a policy loadable without
    its replay; `meta` holds the configuration as JSON.
    """

    def __init__(self, folder: Path, create: bool = True):
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEEP, create=create, enable_async_checkpointing=False
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def epochs(self) -> list[int]:
        """List the epochs that have a complete checkpoint, the newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def save(self, epoch: int, state: TrainState, meta: dict[str, Any]) -> None:
        """Write a checkpoint; it appears under its name only when it is whole."""
        arrays = _key_data(state)
        items = ocp.args.Composite(
            agent=ocp.args.StandardSave(arrays.agent),
            loop=ocp.args.StandardSave(_loop(arrays)),
            meta=ocp.args.JsonSave(meta),
        )
        self._manager.save(epoch, args=items)

    def meta(self, epoch: int) -> dict[str, Any]:
        """Read the configuration that a checkpoint was written with."""
        return self._restore(epoch, meta=ocp.args.JsonRestore())["meta"]

    def restore(self, epoch: int, like: TrainState) -> TrainState:
        """Read a whole state. like: the shapes; those without a sharding go to the first device."""
        arrays = _key_shapes(like)
        items = self._restore(
            epoch,
            agent=ocp.args.StandardRestore(arrays.agent),
            loop=ocp.args.StandardRestore(_loop(arrays)),
        )
        return _wrap_keys(like, TrainState(agent=items["agent"], **items["loop"]))

    def restore_agent(self, epoch: int, like: Any) -> Any:
        """Read the agent alone. like: its shapes, as for `restore`."""
        arrays = _key_shapes(like)
        items = self._restore(epoch, agent=ocp.args.StandardRestore(arrays))
        return _wrap_keys(like, items["agent"])

    def drop(self, epoch: int) -> None:
        """Remove a checkpoint that cannot be read, so that its epoch can be saved again."""
        self._manager.delete(epoch)

    def _restore(self, epoch: int, **items: Any) -> Any:
        return self._manager.restore(epoch, args=ocp.args.Composite(**items))


def _loop(state: TrainState) -> dict[str, Any]:
    return {name: value for name, value in state._asdict().items() if name != "agent"}


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _key_data(tree: Any) -> Any:
    """Replace typed PRNG keys, which Orbax does not store, by their words."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, tree)


def _key_shapes(tree: Any) -> Any:
    """Do as `_key_data` with shapes, and say where each array is to live."""

    def shape(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        words = jax.eval_shape(jax.random.key_data, x) if _is_key(x) else x
        place = x.sharding or SingleDeviceSharding(jax.local_devices()[0])
        return jax.ShapeDtypeStruct(words.shape, words.dtype, sharding=place)

    return jax.tree.map(shape, tree)


def _wrap_keys(like: Any, arrays: Any) -> Any:
    return jax.tree.map(
        lambda ref, x: jax.random.wrap_key_data(x) if _is_key(ref) else x, like, arrays
    )
