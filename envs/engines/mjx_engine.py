"""MuJoCo models on MJX: loaded, set for a fidelity, stepped several times per environment step."""

import contextlib
import copy
import io
from collections.abc import Callable
from functools import partial
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import mujoco

with contextlib.redirect_stdout(io.StringIO()):  # it prints that NVIDIA's warp is not there
    from mujoco import mjx
    from mujoco.mjx._src import collision_driver, smooth
    from mujoco.mjx._src.types import GeomType

from envs.engines.collision_tables import swapped
from envs.engines.observables import Observables

Fidelity = Literal["gymnasium", "fast"]
Impl = Literal["jax", "warp", "c"]
Asked = Impl | Literal["auto"]
STATE = ("qpos", "qvel", "qacc_warmstart", "ctrl")  # what a step starts from
GEOMS = ("geom_pos", "geom_size", "geom_rbound")  # what a model given to a step may have of its own


class Room(NamedTuple):
    """What `warp` keeps memory for; it drops what is over, and prints that it did.

    contacts: of a mean environment, for a batch shares them; or pairs of geoms that are near, which
    it lists before, where those are more. constraints: of each environment; a joint at its limit is
    one, a contact usually four.
    """

    contacts: int
    constraints: int


class Physics(NamedTuple):
    """A model and its motion; nothing here has a batch axis.

    model: for drawing, and for its constants; on_device: the same for MJX; dt: seconds of one
    `step`. place: (qpos, qvel) -> Data with positions and velocities of all bodies, no forces.
    step: (on_device, qpos, qvel, warmstart, ctrl) -> Data after `frame_skip` physics steps; its
    body positions are those of the last forward dynamics, which lag qpos, as in MuJoCo. The
    model given to it may have other GEOMS than on_device. With `warp` Data are those of MJX all
    the same, of which qpos, qvel, qacc_warmstart, qfrc_actuator, xpos, xipos, cinert, cvel and,
    where it is asked for, cfrc_ext are set.
    """

    model: mujoco.MjModel
    on_device: mjx.Model
    dt: float
    place: Callable[[jax.Array, jax.Array], mjx.Data]
    step: Callable[[mjx.Model, jax.Array, jax.Array, jax.Array, jax.Array], mjx.Data]


def make_physics(
    spec: mujoco.MjSpec,
    frame_skip: int,
    fidelity: Fidelity = "gymnasium",
    impl: Impl = "jax",
    contacts: int = -1,
    contact_forces: bool = False,
    room: Room | None = None,
) -> Physics:
    """Compile a model for MJX.

    fidelity: `gymnasium`, the model's own integrator, Newton to convergence; `fast`, Euler, 4
    Newton iterations with 8 line search steps, and of the contacts only the `contacts` deepest
    (-1, and always with `warp`: all). impl: the engine, `warp` for NVIDIA GPUs; room: for `warp`,
    its own guess where None. contact_forces: compute cfrc_ext. Raises ValueError for a model or an
    engine that MJX cannot take.
    """
    _check(fidelity, impl)
    if fidelity == "fast" and contacts > -1 and impl == "jax":
        _keep_deepest(spec, contacts)
    model = spec.compile()
    # PGS, which Humanoid asks for, does not exist in MJX; converged, both find the same forces.
    model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    model.opt.iterations, model.opt.ls_iterations = 100, 50
    if fidelity == "fast":
        set_fast(model)
    on_device, blank = _put(model, impl)
    place = partial(_place, on_device, blank)
    if impl == "warp":
        step = _warp_step(model, frame_skip, contact_forces, room, on_device, blank)
    else:
        step = partial(_jax_step, frame_skip, contact_forces, blank)
    return Physics(model, on_device, model.opt.timestep * frame_skip, place, step)


def engine_for(asked: Asked, fidelity: Fidelity) -> Impl:
    """Settle `auto`: C MuJoCo on a CPU for the fidelity `gymnasium`, and else MJX's own engine."""
    if asked != "auto":
        return asked
    return "c" if jax.default_backend() == "cpu" and fidelity == "gymnasium" else "jax"


def set_fast(model: mujoco.MjModel) -> None:
    """Set the integrator and solver of the fidelity `fast`."""
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
    model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    model.opt.iterations, model.opt.ls_iterations = 4, 8


def look(data: mjx.Data) -> Observables:
    """Pick what tasks look at; contact forces are 0 unless they were asked for."""
    names = ("qpos", "qvel", "xpos", "xipos", "cvel", "qfrc_actuator")
    seen = {name: getattr(data, name) for name in names}
    return Observables(**seen, cinert=data._impl.cinert, cfrc_ext=data._impl.cfrc_ext)


def up_to_date(physics: Physics, data: mjx.Data) -> mjx.Data:
    """Compute positions of bodies, geoms and sites anew, which after a step lag qpos."""
    return smooth.kinematics(physics.on_device, data)


def _place(on_device: mjx.Model, blank: mjx.Data, qpos: jax.Array, qvel: jax.Array) -> mjx.Data:
    data = blank.replace(qpos=qpos, qvel=qvel)
    for compute in (smooth.kinematics, smooth.com_pos, smooth.com_vel):
        data = compute(on_device, data)
    return data


def _jax_step(
    frame_skip: int, contact_forces: bool, blank: mjx.Data, here: mjx.Model, *state: jax.Array
) -> mjx.Data:
    data = blank.replace(**dict(zip(STATE, state, strict=True)))
    with jax.default_matmul_precision("highest"), _contact_frames_as_in_c():
        data = jax.lax.scan(lambda d, _: (mjx.step(here, d), None), data, None, frame_skip)[0]
        return smooth.rne_postconstraint(here, data) if contact_forces else data


def _warp_step(
    model: mujoco.MjModel,
    frame_skip: int,
    contact_forces: bool,
    room: Room | None,
    on_device: mjx.Model,
    blank: mjx.Data,
) -> Callable[..., mjx.Data]:
    from envs.engines import warp_engine

    try:
        advance = warp_engine.make_step(model, frame_skip, contact_forces, *(room or ()))
    except (NotImplementedError, ValueError) as error:
        raise _refusal(model, error) from None

    def step(here: mjx.Model, *state: jax.Array) -> mjx.Data:
        own = any(getattr(here, name) is not getattr(on_device, name) for name in GEOMS)
        geoms = [getattr(here, name) for name in GEOMS] if own else []
        found = advance(geoms, list(state))
        hidden = {f"_impl.{name}": found.pop(name) for name in ("cinert", "cfrc_ext")}
        return blank.replace(**found).tree_replace(hidden)

    return step


def _keep_deepest(spec: mujoco.MjSpec, contacts: int) -> None:
    """Tell MJX by a custom numeric; it reads the data at the numeric's number, not its address, so
    there may be none before it (Ant's model has one, which nothing reads)."""
    for numeric in list(spec.numerics):
        spec.delete(numeric)
    spec.add_numeric(name="max_contact_points", size=1, data=[contacts])


def gymnasium_spec(file: str) -> mujoco.MjSpec:
    """Load a model that the gymnasium package ships."""
    with as_file(files("gymnasium") / "envs" / "mujoco" / "assets" / file) as path:
        return mujoco.MjSpec.from_file(str(path))


def user_spec(path: str | Path) -> mujoco.MjSpec:
    """Load a model of one's own. Raises ValueError where MuJoCo cannot read it."""
    try:
        return mujoco.MjSpec.from_file(str(path))
    except (ValueError, OSError) as error:
        raise ValueError(f"xml_file={path} is not a MuJoCo model: {error}") from None


def _check(fidelity: str, impl: str) -> None:
    if fidelity not in ("gymnasium", "fast"):
        raise ValueError(f"fidelity={fidelity!r} is unknown; use 'gymnasium' or 'fast'")
    if impl not in ("jax", "warp"):
        raise ValueError(f"impl={impl!r} is unknown; use 'jax', 'warp' or 'c'")
    if impl == "warp" and find_spec("warp") is None:
        raise ValueError(
            "impl='warp' needs the package; install it (pip install 'drac_jax[warp]') or use 'jax'"
        )
    if impl == "warp" and jax.default_backend() not in ("gpu", "cpu"):
        raise ValueError(
            f"impl='warp' needs an NVIDIA GPU, or a CPU to try it on, and the device is a "
            f"{jax.default_backend()}; use 'jax'"
        )


def _put(model: mujoco.MjModel, impl: Impl) -> tuple[mjx.Model, mjx.Data]:
    """Put the model on the device for MJX; for `warp`, which steps by itself, without contacts."""
    if impl == "warp":
        model = copy.copy(model)
        model.geom_contype[:] = model.geom_conaffinity[:] = 0
    try:
        return mjx.put_model(model, impl="jax"), mjx.make_data(model, impl="jax")
    except (NotImplementedError, ValueError) as error:
        raise _refusal(model, error) from None


def _refusal(model: mujoco.MjModel, error: Exception) -> ValueError:
    return ValueError(f"MJX cannot take the model: {error}; {_suspects(model, str(error))}")


def _suspects(model: mujoco.MjModel, message: str) -> str:
    """Name the geoms of the types that an error of MJX speaks of."""
    kinds = [kind for kind in mujoco.mjtGeom.__members__.values() if kind.name in message]
    names = [
        model.geom(i).name or f"geom {i}"
        for i in range(model.ngeom)
        if int(model.geom_type[i]) in kinds
    ]
    return f"change {', '.join(names) or 'that element'} or leave it out of the model"


def _plane_capsule(model: Any, data: Any, key: Any, pairs: jax.Array) -> Any:
    """Collide planes with capsules, the contact's first tangent along the capsule.

    MJX 3.17 takes a fixed tangent instead where the capsule is within 30 degrees of the plane's
    normal; MuJoCo always takes the capsule's. A friction pyramid is not round: in 10 % of 180
    states Ant's next velocities came out more than 4 %, and up to 20 %, of the largest one apart.
    """
    dist, position, frame = _mjx_plane_capsule(model, data, key, pairs)
    axis = jnp.repeat(data.geom_xmat[pairs[:, 1]][:, :, 2], 2, axis=0)  # two contacts a capsule
    normal = frame[:, 0]
    tangent = axis - normal * (normal * axis).sum(axis=1, keepdims=True)
    length = jnp.linalg.norm(tangent, axis=1, keepdims=True)
    tangent = jnp.where(length > 1e-6, tangent / jnp.maximum(length, 1e-6), frame[:, 1])
    return dist, position, jnp.stack([normal, tangent, jnp.cross(normal, tangent)], axis=1)


_PLANE_CAPSULE = (GeomType.PLANE, GeomType.CAPSULE)
_mjx_plane_capsule: Callable = collision_driver._COLLISION_FUNC[_PLANE_CAPSULE]
_plane_capsule.ncon = _mjx_plane_capsule.ncon  # type: ignore[attr-defined]


# Traces with contact frames as in C.
_contact_frames_as_in_c = partial(
    swapped, collision_driver._COLLISION_FUNC, _PLANE_CAPSULE, _plane_capsule, _mjx_plane_capsule
)
