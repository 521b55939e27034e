"""MuJoCo models on MuJoCo Warp: any number of worlds at once, an env step in one CUDA graph.

MJX's own way to Warp hands its some 170 arrays to every physics step, and back. Here they stay
with Warp: JAX gives what an env step starts from, and gets what tasks look at.
"""

import inspect
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import warp as wp
from mujoco.mjx.third_party import mujoco_warp as mjw
from mujoco.mjx.third_party.mujoco_warp._src import collision_primitive
from mujoco.mjx.third_party.mujoco_warp._src.types import GeomType, vec10

from envs.engines.collision_tables import swapped

STATE = dict.fromkeys(("qpos", "qvel", "qacc_warmstart", "ctrl"), wp.array2d[float])
GEOMS = {
    "geom_pos": wp.array2d[wp.vec3],
    "geom_size": wp.array2d[wp.vec3],
    "geom_rbound": wp.array2d[float],
}
RESULTS = dict.fromkeys(("qpos", "qvel", "qacc_warmstart"), wp.array2d[float]) | {
    "qfrc_actuator": wp.array2d[float],
    "xpos": wp.array2d[wp.vec3],
    "xipos": wp.array2d[wp.vec3],
    "cinert": wp.array2d[vec10],
    "cvel": wp.array2d[wp.spatial_vector],
    "cfrc_ext": wp.array2d[wp.spatial_vector],
}
SMALLEST_POOL = 256  # contacts, which all worlds share: a few worlds may need more than on average


class Worlds(NamedTuple):
    """A number of worlds on one device. graph: their env step, None on a CPU or before a second."""

    model: Any
    data: Any
    graph: Any


class Engine(NamedTuple):
    """contacts, constraints: room for them per world; made: (device, number, moved) -> Worlds."""

    model: mujoco.MjModel
    frame_skip: int
    contact_forces: bool
    contacts: int | None
    constraints: int | None
    made: dict[tuple[str, int, bool], Worlds]


_engines: list[Engine] = []  # compiled programs know theirs by its number, and may outlive all else


def make_step(
    model: mujoco.MjModel,
    frame_skip: int,
    contact_forces: bool,
    contacts: int | None = None,
    constraints: int | None = None,
) -> Callable[[list[jax.Array], list[jax.Array]], dict[str, jax.Array]]:
    """Make (geoms, state) -> RESULTS after `frame_skip` physics steps, of one world.

    Its vmaps, nested ones too, step all worlds in one call. geoms: [], or GEOMS of this world, of
    which only those of the world's body may be elsewhere than the model's; state: STATE. contacts,
    constraints: room for them per world, Warp's guess where None; Warp drops what is over, and
    prints that it did. Raises ValueError or NotImplementedError for a model Warp cannot take.
    """
    wp.config.log_level = wp.LOG_WARNING  # else it prints a line for every kernel that it loads
    with wp.ScopedDevice("cpu"):
        mjw.put_model(model)
    _engines.append(Engine(model, frame_skip, contact_forces, contacts, constraints, {}))
    step_all = _make_batched(model, len(_engines) - 1)

    def step(geoms: list[jax.Array], state: list[jax.Array]) -> dict[str, jax.Array]:
        none = [jnp.zeros((0, 3)), jnp.zeros((0, 3)), jnp.zeros(0)]
        arrays = [jnp.asarray(x, jnp.float32)[None] for x in (*state, *(geoms or none))]
        return {name: x[0] for name, x in zip(RESULTS, step_all(*arrays), strict=True)}

    return step


def _make_batched(model: mujoco.MjModel, number: int) -> Callable[..., list[jax.Array]]:
    """Make the step of engine `number`: STATE and GEOMS [W, ...] -> RESULTS [W, ...]."""
    sizes = dict.fromkeys(RESULTS, model.nbody)
    sizes |= {"qpos": model.nq} | dict.fromkeys(("qvel", "qacc_warmstart"), model.nv)
    sizes |= {"qfrc_actuator": model.nv}

    @jax.custom_batching.custom_vmap
    def step_all(*arrays: jax.Array) -> list[jax.Array]:
        dims = {f"{name}_out": (len(arrays[0]), size) for name, size in sizes.items()}
        return _callable()(number, *arrays, output_dims=dims)

    @step_all.def_vmap
    def _(size: int, batched: list[bool], *arrays: jax.Array) -> tuple[list, list[bool]]:
        whole = [
            x if is_batched else jnp.broadcast_to(x, (size, *x.shape))
            for x, is_batched in zip(arrays, batched, strict=True)
        ]
        out = step_all(*(x.reshape(size * x.shape[1], *x.shape[2:]) for x in whole))
        return [x.reshape(size, len(x) // size, *x.shape[1:]) for x in out], [True] * len(out)

    return step_all


def _callable() -> Callable[..., list[jax.Array]]:
    """Register `_on_device` with JAX, once."""
    return wp.jax_callable(
        _on_device,
        num_outputs=len(RESULTS),
        # It captures graphs itself, of arrays that never move.
        graph_mode=wp.JaxCallableGraphMode.NONE,
        vmap_method=None,
    )


def _on_device(number: int, *arrays: Any) -> None:
    """Step W worlds. arrays: those of STATE, GEOMS and RESULTS, which JAX owns."""
    state, geoms = arrays[: len(STATE)], arrays[len(STATE) :][: len(GEOMS)]
    moved, engine = geoms[0].shape[1] > 0, _engines[number]
    key = str(wp.get_device()), state[0].shape[0], moved
    is_first = key not in engine.made
    if is_first:
        engine.made[key] = _make_worlds(engine, key[1], moved)
    model, data, graph = engine.made[key]
    for name, array in zip(STATE, state, strict=True):
        wp.copy(getattr(data, name), array)
    if moved:
        for name, array in zip(GEOMS, geoms, strict=True):
            wp.copy(getattr(model, name), array)
        wp.copy(data.geom_xpos, geoms[0])  # Warp leaves the geoms of the world's body to us
    if is_first or key[0] == "cpu":  # the first step loads kernels, which a capture must not
        _advance(engine, model, data)
    else:
        graph = graph or _capture(engine, model, data)
        wp.capture_launch(graph)
        engine.made[key] = Worlds(model, data, graph)
    for name, array in zip(RESULTS, arrays[-len(RESULTS) :], strict=True):
        wp.copy(array, getattr(data, name))


def _sign() -> None:
    """Tell Warp the types of what `_on_device` takes."""
    types = {"number": int} | STATE | GEOMS | {f"{name}_out": t for name, t in RESULTS.items()}
    parameter = partial(inspect.Parameter, kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [parameter(name, annotation=kind) for name, kind in types.items()]
    _on_device.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    _on_device.__annotations__ = types


_sign()


def _make_worlds(engine: Engine, number: int, moved: bool) -> Worlds:
    """Make worlds on the device that is current."""
    model = mjw.put_model(engine.model, dict.fromkeys(GEOMS, number) if moved else None)
    # That a solver took all its iterations is meant: `fast` gives it four.
    limits = mjw.OverflowType.ITERATIONS | mjw.OverflowType.LS_ITERATIONS
    model.opt.warn_overflow &= ~int(limits)
    if moved:  # the boxes that it compares have the model's sizes
        model.opt.broadphase_filter &= ~int(mjw.BroadphaseFilter.OBB)
    pool = None
    if engine.contacts is not None:
        pool = max(number * engine.contacts, SMALLEST_POOL)
    data = mjw.make_data(engine.model, number, naconmax=pool, njmax=engine.constraints)
    return Worlds(model, data, None)


def _capture(engine: Engine, model: Any, data: Any) -> Any:
    with wp.ScopedCapture() as capture:
        _advance(engine, model, data)
    return capture.graph


def _advance(engine: Engine, model: Any, data: Any) -> None:
    """Take the physics steps of an env step. Nothing that matters stays from the one before."""
    data.act.zero_()
    data.time.zero_()
    data.efc.J.zero_()  # a NaN in unused rows would reach those in use
    with _contact_frames_as_in_c():
        for _ in range(engine.frame_skip):
            mjw.step(model, data)
    if engine.contact_forces:
        mjw.rne_postconstraint(model, data)


_theirs = collision_primitive.plane_capsule


@wp.func
def _plane_capsule(
    normal: wp.vec3, place: wp.vec3, centre: wp.vec3, axis: wp.vec3, radius: float, half: float
):
    dist, positions, frame = _theirs(normal, place, centre, axis, radius, half)
    tangent = axis - normal * wp.dot(normal, axis)
    length = wp.length(tangent)
    if length > 1.0e-6:
        along = tangent / length
        across = wp.cross(normal, along)
        frame = wp.matrix_from_rows(normal, along, across)
    return dist, positions, frame


def _our_wrapper() -> Any:
    """Make Warp's function that writes a plane's contacts with a capsule call ours."""
    theirs = collision_primitive.plane_capsule_wrapper.func
    names = {**theirs.__globals__, "plane_capsule": _plane_capsule}
    ours = FunctionType(theirs.__code__, names, "plane_capsule_along_axis")
    ours.__annotations__, ours.__module__ = theirs.__annotations__, __name__
    ours.__qualname__ = ours.__name__
    return wp.func(ours)


_PLANE_CAPSULE = (GeomType.PLANE, GeomType.CAPSULE)
_primitive_collisions: dict = collision_primitive._PRIMITIVE_COLLISIONS
_their_wrapper = _primitive_collisions[_PLANE_CAPSULE]


# Collides capsules with planes as MuJoCo does: see `mjx_engine._plane_capsule`.
_contact_frames_as_in_c = partial(
    swapped, _primitive_collisions, _PLANE_CAPSULE, _our_wrapper(), _their_wrapper
)
