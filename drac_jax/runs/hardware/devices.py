"""How a run's arrays are placed on devices: sweep members first, then environments and batch.

One mesh of two axes. Along `member` a device trains members of its own and waits for no other.
Along `env` the parameters are copies, while environments, replay and minibatches are shared out by
strata: XLA adds up what each device makes of its share. The draws are those of one device.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.stages import Lowered

from drac_jax.training.loop import TrainState
from drac_jax.types import Environment

MEMBER, ENV = "member", "env"


def choose(asked: int | None, members: int, strata: int) -> tuple[Mesh, list[str]]:
    """Choose the devices of a run: `asked` of each process, or all, or without `asked` as many of
    them as it can use.

    -> the mesh and warnings. Raises ValueError where the members and strata do not fit them.
    """
    processes = range(jax.process_count())
    found = [[d for d in jax.devices() if d.process_index == process] for process in processes]
    if asked is not None and not 1 <= asked <= min(map(len, found)):
        raise ValueError(f"devices={asked} must be in 1..{min(map(len, found))}, those there are")
    chosen = [device for local in found for device in local[:asked]]
    if asked is not None or len(processes) > 1:
        return make_mesh(chosen, members, strata), []
    count = most(len(chosen), members, strata)
    mesh = make_mesh(chosen[:count], members, strata)
    if count == len(chosen):
        return mesh, []
    return mesh, [f"{count} of {len(chosen)} used: {_misfit(len(chosen), members, strata)}"]


def make_mesh(devices: Sequence[jax.Device], members: int, strata: int) -> Mesh:
    """Share `devices` out, as many to the members as possible and the rest to the strata.

    Raises ValueError where they cannot be, with the nearest sizes that can.
    """
    if (shape := split(len(devices), members, strata)) is None:
        raise ValueError(_misfit(len(devices), members, strata))
    return jax.make_mesh(shape, (MEMBER, ENV), (AxisType.Auto,) * 2, devices=devices)


def split(devices: int, members: int, strata: int) -> tuple[int, int] | None:
    """Split a number of devices into (members side by side, parts of the strata), if it can be."""
    for side in range(min(devices, members), 0, -1):
        parts, rest = divmod(devices, side)
        if rest == 0 and members % side == 0 and strata % parts == 0:
            return side, parts
    return None


def most(available: int, members: int, strata: int) -> int:
    """Count the devices of those available that a run can use."""
    return next(n for n in range(available, 0, -1) if split(n, members, strata))


def _misfit(devices: int, members: int, strata: int) -> str:
    def near(size: int) -> str:
        below = size // devices * devices
        return f"{below} or {below + devices}" if below else f"{devices}"

    limit = members * strata
    usable = [n for n in range(1, limit + 1) if split(n, members, strata)]
    around = [max(n for n in usable if n < devices)] + [n for n in usable if n > devices][:1]
    return (
        f"devices={devices} cannot share {members} member(s) (seeds x grid) and "
        f"train.strata={strata}; use devices={' or '.join(map(str, around))}, {near(members)} "
        f"member(s), or train.strata={near(strata)}, which must divide num_envs and batch_size"
    )


def state_shardings(mesh: Mesh, state: TrainState, env: Environment, num_envs: int) -> TrainState:
    """Say where every leaf of the members' states lives. state: shapes, leaves [members, ...]."""
    one_member = NamedSharding(mesh, PartitionSpec(MEMBER))
    by_env = NamedSharding(mesh, PartitionSpec(MEMBER, ENV))
    places = jax.tree.map(lambda _: one_member, state)
    if mesh.shape[ENV] == 1:
        return places
    replay = dataclasses.replace(
        places.replay, data=NamedSharding(mesh, PartitionSpec(MEMBER, None, ENV))
    )
    if state.replay.next_obs is not None:
        replay = dataclasses.replace(replay, next_obs=by_env)
    env_places = jax.tree.map(lambda own: by_env if own else one_member, _has_envs(env, num_envs))
    return places._replace(env=env_places, replay=replay)


def _has_envs(env: Environment, num_envs: int) -> Any:
    """Tell the leaves of an EnvState that have an axis of environments: twice as many of these
    change them. The others, such as a pool of initial states, are shared by all."""

    def shapes(count: int) -> Any:
        keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), count))
        return jax.eval_shape(env.reset, keys)

    return jax.tree.map(lambda a, b: a.shape != b.shape, shapes(num_envs), shapes(2 * num_envs))


def everywhere(mesh: Mesh) -> NamedSharding:
    """Say that each device has all of an array, which every process can then read."""
    return NamedSharding(mesh, PartitionSpec())


def copies(mesh: Mesh, tree: Any) -> Any:
    """Put arrays, which every process holds alike, on all devices of the mesh."""
    return jax.jit(lambda: tree, out_shardings=everywhere(mesh))()


def over(mesh: Mesh, function: Callable) -> Callable:
    """Let each device of the axis `member` call `function` on its own members: leaves
    [members, ...] in and out, and scalars in, which are the same for all. How the axis `env` is
    used is left to XLA."""
    if mesh.shape[MEMBER] == 1:
        return function
    own, same = PartitionSpec(MEMBER), PartitionSpec()

    def on_each(*arguments: Any) -> Any:
        # The members know nothing of each other, so there is nothing for `check_vma` to check.
        return jax.shard_map(
            function,
            mesh=mesh,
            in_specs=jax.tree.map(lambda x: own if x.ndim else same, arguments),
            out_specs=own,
            axis_names={MEMBER},
            check_vma=False,
        )(*arguments)

    return on_each


def lower(mesh: Mesh, function: Callable, *arguments: Any, **options: Any) -> Lowered:
    """Lower `function`, as `over` calls it, for arguments that live where they or their shapes say.
    options: of `jax.jit`; what is returned is readable by every process unless they say otherwise.

    It is traced as if the arguments lived anywhere: what one program has traced, such as a
    simulator's step, then serves the next.
    """
    places = jax.tree.map(lambda x: x.sharding, arguments)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments)
    options = {"out_shardings": everywhere(mesh)} | options
    return jax.jit(over(mesh, function), in_shardings=places, **options).lower(*shapes)


def describe(mesh: Mesh) -> str:
    """Describe a mesh: 8 x cpu (2 for members, 4 for environments and batch)."""
    side, parts = mesh.devices.shape
    kind = mesh.devices.flat[0].device_kind
    if mesh.size == 1:
        return kind
    return f"{mesh.size} x {kind} ({side} for members, {parts} for environments and batch)"


def bytes_per_device(tree: Any) -> int:
    """Count the bytes that shapes with shardings take on each device."""

    def nbytes(x: jax.ShapeDtypeStruct) -> int:
        shape = x.shape if x.sharding is None else x.sharding.shard_shape(x.shape)
        return int(np.prod(shape, dtype=np.int64)) * x.dtype.itemsize

    return sum(map(nbytes, jax.tree.leaves(tree)))


def sharing_memory(mesh: Mesh) -> int:
    """Count the devices of a process that take from one memory: its virtual ones, on a CPU."""
    local = [d for d in mesh.devices.flat if d.process_index == jax.process_index()]
    return len(local) if local[0].platform == "cpu" else 1
