"""MuJoCo models on C MuJoCo, in float64 on the CPU: any number of environments in one call.

JAX holds the states and NumPy sees them: what a step starts from is all in its arguments, so an
environment can be copied, vmapped, saved and resumed. `on_host` calls such a function from JAX.
"""

import copy
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax.experimental import io_callback

from envs.engines.mjx_engine import Fidelity, set_fast
from envs.engines.observables import Observables
from envs.engines.randomise import Plan
from envs.engines.scaled_model import ScaledModel

# All that a step starts from, besides the controls; in MuJoCo's order, which begins with the time.
STATE = int(mujoco.mjtState.mjSTATE_FULLPHYSICS | mujoco.mjtState.mjSTATE_WARMSTART)


class World(NamedTuple):
    """A model and one thread's memory for it. views: of the data's arrays, by their names; scaled:
    of the model's arrays that factors change."""

    model: mujoco.MjModel
    data: mujoco.MjData
    views: dict[str, np.ndarray]
    scaled: list[np.ndarray]


class Simulator:
    """Models with the same joints and motors, stepped side by side by as many threads as the
    process may use cores.

    fields: those of `Observables` besides qpos and qvel that are read after a step; cfrc_ext is
    computed where it is among them. probe: (model's number, data) -> anything else to read.
    up_to_date: compute positions anew after a step, which else lag qpos by a physics step. plan:
    what factors given to a step multiply. A call has the simulator to itself: another waits.
    """

    def __init__(
        self,
        models: Sequence[mujoco.MjModel],
        frame_skip: int,
        fields: Sequence[str] = (),
        probe: Callable[[int, mujoco.MjData], float] | None = None,
        up_to_date: bool = False,
        plan: Plan | None = None,
    ) -> None:
        self.models, self.model = list(models), models[0]
        self.frame_skip, self.fields, self.probe = frame_skip, tuple(fields), probe
        self.up_to_date, self._scaled = up_to_date, plan and ScaledModel(plan, self.model)
        self.dt = self.model.opt.timestep * frame_skip
        self.state_size = mujoco.mj_stateSize(self.model, STATE)
        self._blank = np.empty(self.state_size)
        mujoco.mj_getState(self.model, mujoco.MjData(self.model), self._blank, STATE)
        self._worlds: list[dict[int, World]] = [{} for _ in range(_count_cores())]
        self._lock = Lock()

    def start(self, qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, Observables]:
        """Begin W episodes. qpos: [W, Q]; qvel: [W, V]. -> states [W, S], what is seen of them."""
        states = np.tile(self._blank, (len(qpos), 1))
        states[:, 1:][:, : self.model.nq] = qpos
        states[:, 1 + self.model.nq :][:, : self.model.nv] = qvel

        def begin(world: World, row: int) -> None:
            if self._scaled is not None:  # as it is, whatever another step has left there
                self._scaled.write(world.model, world.scaled, self._scaled.ones)
            mujoco.mj_resetData(world.model, world.data)
            mujoco.mj_setState(world.model, world.data, states[row], STATE)
            mujoco.mj_forward(world.model, world.data)

        return self._play(begin, len(states), None)

    def advance(
        self,
        states: np.ndarray,
        ctrl: np.ndarray,
        numbers: np.ndarray | None = None,
        factors: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Observables]:
        """Take an env step of W environments. states: [W, S]; ctrl: [W, A]; numbers: [W], of the
        models; factors: [W, F] float64, of the plan. -> as `start`.

        Where MuJoCo finds a state bad, it goes on from the model's first one; here it is NaN.
        """
        forces = "cfrc_ext" in self.fields

        def step(world: World, row: int) -> None:
            if self._scaled is not None and factors is not None:
                self._scaled.write(world.model, world.scaled, factors[row])
            mujoco.mj_setState(world.model, world.data, states[row], STATE)
            world.views["ctrl"][:] = ctrl[row]
            mujoco.mj_step(world.model, world.data, self.frame_skip)
            if forces:
                mujoco.mj_rnePostConstraint(world.model, world.data)
            if self.up_to_date:
                mujoco.mj_kinematics(world.model, world.data)

        after, seen = self._play(step, len(states), numbers)
        # It sets the clock to zero, too.
        began_anew = after[:, 0] < states[:, 0] + self.dt - self.model.opt.timestep / 2
        after[began_anew, 1:] = np.nan
        return after, seen

    def _play(
        self, act: Callable[[World, int], None], count: int, numbers: np.ndarray | None
    ) -> tuple[np.ndarray, Observables]:
        """Let `act` change a world for each of `count` rows, and read it."""
        states, probed = np.empty((count, self.state_size)), np.zeros(count)
        views = self._world(self._worlds[0], 0).views
        found = {name: np.empty((count, *views[name].shape)) for name in self.fields}
        rows = iter(range(count))  # shared: each thread takes the next one

        def serve(own: dict[int, World]) -> None:
            for row in rows:
                number = 0 if numbers is None else int(numbers[row])
                world = self._world(own, number)
                act(world, row)
                mujoco.mj_getState(world.model, world.data, states[row], STATE)
                for name, values in found.items():
                    values[row] = world.views[name]
                if self.probe is not None:
                    probed[row] = self.probe(number, world.data)

        with self._lock:
            waiting = [_helpers().submit(serve, own) for own in self._worlds[1:count]]
            serve(self._worlds[0])
            for other in waiting:
                other.result()
        middle, end = 1 + self.model.nq, 1 + self.model.nq + self.model.nv
        qpos, qvel = states[:, 1:middle], states[:, middle:end]
        return states, Observables(qpos, qvel, **found, probed=probed)

    def _world(self, own: dict[int, World], number: int) -> World:
        """Get a thread's world of a model, made when it is first needed."""
        if number not in own:
            model, scaled = self.models[number], []
            if self._scaled is not None:
                model = copy.copy(model)
                scaled = self._scaled.views(model)
            data = mujoco.MjData(model)
            views = {name: getattr(data, name) for name in ("ctrl", *self.fields)}
            own[number] = World(model, data, views, scaled)
        return own[number]


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, _count_cores() - 1), "mujoco")


@lru_cache
def _exact() -> ThreadPoolExecutor:
    """Begin the thread that steps for JAX. A thread rounds as the one that began it, and those of
    XLA take for zero what is below 2e-308, or 1e-38 in float32."""
    thread = ThreadPoolExecutor(1, "mujoco")
    thread.submit(int).result()
    return thread


def compile_for_c(spec: mujoco.MjSpec, fidelity: Fidelity) -> mujoco.MjModel:
    """Compile a model: as it is for the fidelity `gymnasium`, cheaper for `fast`, with all
    contacts. Raises ValueError for another fidelity, and where the run is not on a CPU."""
    if fidelity not in ("gymnasium", "fast"):
        raise ValueError(f"fidelity={fidelity!r} is unknown; use 'gymnasium' or 'fast'")
    if jax.default_backend() != "cpu":
        raise ValueError(
            f"impl='c' steps on the CPU, and the device is a {jax.default_backend()}; "
            "use 'jax' or 'warp'"
        )
    model = spec.compile()
    if fidelity == "fast":
        set_fast(model)
    return model


HostFunction = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
Call = Callable[[jax.Array | np.ndarray, jax.Array], tuple[jax.Array, jax.Array]]


def on_host(
    function: HostFunction, states: tuple[int, int], floats: int, effects: bool = False
) -> Call:
    """Make a NumPy function one of JAX, whose vmaps, nested ones too, are one call of it.

    function: (states [W, S] float64, inputs [W, I] float32) -> (states [W, T], outputs [W, F]).
    states: (S, T); floats: F. -> (bits [2 S], inputs [I]) -> (bits [2 T], outputs [F]): JAX has no
    float64, and keeps its bits as uint32. The function may not use JAX. effects: it changes what it
    does not return, so that no call of it may be left out or taken for another.
    """
    before, after = (2 * size for size in states)
    thread = _exact()

    def serve(given: np.ndarray) -> np.ndarray:
        old = np.ascontiguousarray(given[:, :before]).view(np.float64)
        inputs = np.ascontiguousarray(given[:, before:]).view(np.float32)
        new, outputs = function(old, inputs)
        parts = [np.ascontiguousarray(new), np.asarray(outputs, np.float32, order="C")]
        return np.concatenate([part.view(np.uint32) for part in parts], axis=1)

    # One array in and one out: JAX takes some 50 us for each.
    def call(rows: Any) -> np.ndarray:
        return thread.submit(serve, np.asarray(rows)).result()

    @jax.custom_batching.custom_vmap
    def call_all(rows: jax.Array) -> jax.Array:
        shape = jax.ShapeDtypeStruct((len(rows), after + floats), jnp.uint32)
        return (io_callback if effects else jax.pure_callback)(call, shape, rows)

    @call_all.def_vmap
    def _(size: int, batched: list[bool], rows: jax.Array) -> tuple[jax.Array, bool]:
        out = call_all(rows.reshape(-1, rows.shape[-1]))
        return out.reshape(size, -1, out.shape[-1]), True

    def once(bits: jax.Array | np.ndarray, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        words = jax.lax.bitcast_convert_type(jnp.asarray(inputs, jnp.float32), jnp.uint32)
        out = call_all(jnp.concatenate([bits, words])[None])[0]
        return out[:after], jax.lax.bitcast_convert_type(out[after:], jnp.float32)

    return once


def controls_and_numbers(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split [W, A + 1], as a function on the host is given them, into motor controls [W, A] and the
    numbers of the models [W]."""
    return inputs[:, :-1].astype(np.float64), inputs[:, -1].astype(int)


NO_BITS = np.zeros(0, np.uint32)  # of what has no state yet
