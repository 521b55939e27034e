"""From a traced function to a program: whatever follows from the weights alone is computed, loops
are unrolled, and the rest becomes steps."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from drac_jax.runs.export.primitives import steps_of
from drac_jax.runs.export.steps import Builder, Program, Value, is_symbolic

BODIES = ("jaxpr", "call_jaxpr")  # the parameter that holds what a called function does


def trace(function: Callable[..., jax.Array], input_sizes: list[int]) -> Program:
    """Trace a function of float32 arrays [N, size], one for each size, to a program.

    Raises ValueError, naming the primitive, for a function that has one that is not known.
    """
    # A bound on N settles which branch the networks take for long batches: both are the same sums.
    (count,) = jax.export.symbolic_shape("n", constraints=["n <= 1023"])
    shapes = [jax.ShapeDtypeStruct((count, size), np.float32) for size in input_sizes]
    closed = jax.make_jaxpr(function)(*shapes)
    builder = Builder()
    inputs = [builder.value(shape.shape) for shape in shapes]
    (output,) = _play(builder, closed.jaxpr, closed.consts, inputs)
    return builder.program(len(inputs), builder.full(output, closed.out_avals[0].shape))


def _play(builder: Builder, jaxpr: Any, consts: Any, inputs: list[Value]) -> list[Value]:
    """Turn each equation into steps. -> the outputs."""
    known = dict(zip(jaxpr.constvars, map(builder.constant, consts), strict=True))
    known |= dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Value:
        if hasattr(atom, "val"):
            return builder.constant(np.asarray(atom.val, atom.aval.dtype))
        return known[atom]

    for eqn in jaxpr.eqns:
        outputs = _equation(builder, eqn, [read(atom) for atom in eqn.invars])
        known |= dict(zip(eqn.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _equation(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    if eqn.primitive.name == "scan":
        return _unrolled(builder, eqn, inputs)
    for body in (eqn.params[key] for key in BODIES if key in eqn.params):
        return _play(builder, getattr(body, "jaxpr", body), getattr(body, "consts", ()), inputs)
    is_known = all(x.constant is not None for x in inputs)
    # What is only to be repeated stays as small as it is.
    is_known &= eqn.primitive.name != "broadcast_in_dim"
    if is_known and not any(is_symbolic(out.aval.shape) for out in eqn.outvars):
        return _folded(builder, eqn, inputs)
    return steps_of(builder, eqn, inputs)


def _folded(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    """Let JAX compute what does not depend on the inputs of the program."""
    arrays = [
        x.constant
        if np.shape(x.constant) == atom.aval.shape
        else np.broadcast_to(x.constant, atom.aval.shape)
        for x, atom in zip(inputs, eqn.invars, strict=True)
    ]
    done = eqn.primitive.bind(*arrays, **eqn.params)
    return [builder.constant(x) for x in (done if eqn.primitive.multiple_results else [done])]


def _unrolled(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    """Take a scan's iterations one after the other. Raises ValueError for one that stacks."""
    params, body = eqn.params, getattr(eqn.params["jaxpr"], "jaxpr", eqn.params["jaxpr"])
    shapes = [atom.aval.shape for atom in eqn.invars]
    whole = [builder.full(x, shape) for x, shape in zip(inputs, shapes, strict=True)]
    consts, carry, stacks = _scan_parts(params, whole)
    if len(body.outvars) > len(carry):
        raise ValueError("cannot export a policy with a loop that collects what it passes")
    order = range(params["length"])
    for i in reversed(order) if params["reverse"] else order:
        rows = [builder.step("take", x.shape[1:], [x], i, 0) for x in stacks]
        carry = _play(builder, body, (), [*consts, *carry, *rows])
    return carry


def _scan_parts(params: Any, inputs: list[Value]) -> list[list[Value]]:
    """Tell apart a scan's constants, what it carries, and what it passes. JAX 0.12 has a tree of
    them where 0.11 has counts."""
    if "ft_in" in params:
        return [list(part) for part in params["ft_in"].update(inputs).unpack()]
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
    return [inputs[:first], inputs[first:last], inputs[last:]]
