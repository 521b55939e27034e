"""The compiled programs of a run, each over all its members at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.stages import Lowered

from drac_jax.runs.hardware import devices
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.training import sweep
from drac_jax.training.evaluate import Episodes, make_evaluate
from drac_jax.training.loop import Sums, TrainState

Carry = tuple[TrainState, Sums]


class Programs(NamedTuple):
    """init: (keys, hparams) -> states; advance: (Carry, strides, slow updates) -> (Carry, None);
    means: (Sums) -> metrics; evaluate: (agents, keys) -> episodes, and which leaves of the agents
    are finite."""

    init: Callable
    advance: Callable
    means: Callable
    evaluate: Callable


def compile_all(setup: RunSetup, carry: Carry, keys: Any, eval_keys: Any, hparams: Any) -> Programs:
    """Compile ahead of time, so that training time is training time; the evaluation, while the
    first epoch begins. carry: from `setup.abstract_state` and `sums_shapes`; the rest lives on the
    devices of the setup."""

    def advance(carry: Carry, strides: jax.Array, slow_updates: jax.Array) -> tuple[Carry, None]:
        return setup.functions.advance(*carry, strides, slow_updates), None

    inspect = sweep.each_member(_make_inspect(setup))
    count = jax.ShapeDtypeStruct((), jnp.int32, sharding=devices.everywhere(setup.mesh))
    lowered = (
        lower_init(setup, carry[0], (keys, hparams)),
        lower_members(setup, advance, carry, count, count),
        devices.lower(setup.mesh, inspect, carry[0].agent, eval_keys),
    )
    pool = ThreadPoolExecutor()
    init, piece, evaluate = (pool.submit(program.compile) for program in lowered)
    pool.shutdown(wait=False)
    means = jax.jit(jax.vmap(setup.functions.means))
    # The first evaluation is an epoch away: by then it is compiled.
    return Programs(init.result(), piece.result(), means, lambda *given: evaluate.result()(*given))


def lower_init(setup: RunSetup, state: TrainState, start: Any) -> Lowered:
    """Lower (keys, hparams) -> states, which live as those of `state` do."""
    places = jax.tree.map(lambda x: x.sharding, state)
    return devices.lower(
        setup.mesh, sweep.each_member(setup.functions.init), *start, out_shardings=places
    )


def lower_members(setup: RunSetup, function: Callable, carry: Any, *shared: Any) -> Lowered:
    """Lower a member's (carry, *shared) -> (carry, results) for all of them, in place. carry,
    shared: shapes with shardings, the shared ones of scalars."""
    places = jax.tree.map(lambda x: x.sharding, carry)
    outputs = (places, devices.everywhere(setup.mesh))
    program = sweep.over_members(function)
    return devices.lower(
        setup.mesh, program, carry, *shared, out_shardings=outputs, donate_argnums=0
    )


def sums_shapes(setup: RunSetup, state: TrainState) -> Sums:
    """Compute the shapes of all members' sums, and where they live: every device has them all."""
    # Of one member that lives anywhere, as in `lower`: its trace then serves `compile_all`.
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), state)
    place = devices.everywhere(setup.mesh)
    count = len(setup.members.seeds)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype, sharding=place),
        jax.eval_shape(setup.functions.no_sums, one),
    )


def _make_inspect(setup: RunSetup) -> Callable[[Any, jax.Array], tuple[Episodes, Any]]:
    """Make (agent, key) -> its episodes, and whether each leaf of it is finite."""
    evaluate = make_evaluate(setup.env, setup.algorithm.act, setup.config.eval.episodes)

    def inspect(agent: Any, key: jax.Array) -> tuple[Episodes, Any]:
        return evaluate(agent, key), jax.tree.map(lambda x: jnp.isfinite(x).all(), agent)

    return inspect
