"""JAX's primitives as NumPy's functions: the thirty or so that the policies here are made of."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from drac_jax.runs.export.steps import Builder, Value, broadcast, is_symbolic

# NumPy's name of a primitive that works number by number, where operands broadcast.
ELEMENTWISE = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "max": "maximum",
    "min": "minimum",
    "tanh": "tanh",
    "exp": "exp",
    "log": "log",
    "log1p": "log1p",
    "sqrt": "sqrt",
    "square": "square",
    "neg": "negative",
    "abs": "absolute",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
# reduce_precision rounds the factors of products in bfloat16; an export computes in float32.
SAME = ("stop_gradient", "optimization_barrier", "copy", "reduce_precision")


def steps_of(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    """Turn an equation into steps. -> its outputs. Raises ValueError for a primitive that is not
    known, or is known in another form alone."""
    name = eqn.primitive.name
    if name in SAME:
        return inputs
    if name in ELEMENTWISE:
        shape = broadcast([x.shape for x in inputs])
        return [builder.step(ELEMENTWISE[name], shape, inputs)]
    if name not in HANDLERS:
        raise ValueError(f"cannot export a policy that computes {name!r}")
    return HANDLERS[name](builder, eqn, inputs)


def _full(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    """Repeat the inputs to the shapes that were traced."""
    return [builder.full(x, atom.aval.shape) for x, atom in zip(inputs, eqn.invars, strict=True)]


def _reshape(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    (x,) = _full(builder, eqn, inputs)
    return [builder.reshape(x, eqn.outvars[0].aval.shape)]


def _broadcast_in_dim(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    """Put each axis where it belongs; what is to be repeated has the size 1 until it must not."""
    x, axes = inputs[0], eqn.params["broadcast_dimensions"]
    shape = [1] * len(eqn.params["shape"])
    for size, axis in zip(
        x.shape if len(x.shape) == len(axes) else (1,) * len(axes), axes, strict=True
    ):
        shape[axis] = size
    return [builder.reshape(x, tuple(shape))]


def _transpose(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    return [builder.transpose(inputs[0], tuple(eqn.params["permutation"]))]


def _convert(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    (x,), dtype = inputs, np.dtype(eqn.params["new_dtype"])
    if eqn.invars[0].aval.dtype == dtype:
        return [x]
    return [builder.step("asarray", x.shape, [x], dtype.name)]


def _reduction(name: str) -> Callable[[Builder, Any, list[Value]], list[Value]]:
    def reduce(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
        (x,) = _full(builder, eqn, inputs)
        for axis in sorted(eqn.params["axes"], reverse=True):
            x = builder.step(name, x.shape[:axis] + x.shape[axis + 1 :], [x], int(axis))
        return [x]

    return reduce


def _argmax(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    (x,), (axis,) = _full(builder, eqn, inputs), eqn.params["axes"]
    shape, dtype = eqn.outvars[0].aval.shape, np.dtype(eqn.params["index_dtype"])
    found = builder.step("argmax", shape, [x], int(axis))
    return [builder.step("asarray", shape, [found], dtype.name)]


def _select(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    which, other, chosen = inputs
    shape = broadcast([x.shape for x in inputs])
    return [builder.step("where", shape, [which, chosen, other])]


def _clamp(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    low, x, high = inputs
    x = builder.step("maximum", broadcast([low.shape, x.shape]), [x, low])
    return [builder.step("minimum", broadcast([high.shape, x.shape]), [x, high])]


def _rsqrt(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    one = builder.constant(np.ones((), eqn.invars[0].aval.dtype))
    root = builder.step("sqrt", inputs[0].shape, inputs)
    return [builder.step("divide", root.shape, [one, root])]


def _logistic(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    """1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2, in which nothing overflows."""
    half = builder.constant(np.full((), 0.5, eqn.invars[0].aval.dtype))
    halved = builder.step("multiply", inputs[0].shape, [half, inputs[0]])
    tanh = builder.step("tanh", halved.shape, [halved])
    product = builder.step("multiply", tanh.shape, [half, tanh])
    return [builder.step("add", product.shape, [half, product])]


def _slice(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    (x,), params = _full(builder, eqn, inputs), eqn.params
    starts, limits = params["start_indices"], params["limit_indices"]
    strides = params["strides"] or (1,) * len(starts)
    for axis, bounds in enumerate(zip(starts, limits, strides, strict=True)):
        if not is_symbolic((x.shape[axis],)):  # along which a policy is never cut
            x = _cut(builder, x, axis, range(*bounds))
    return [x]


def _cut(builder: Builder, x: Value, axis: int, kept: range) -> Value:
    """Slice a value along one axis."""
    if len(kept) == x.shape[axis]:
        return x
    shape = (*x.shape[:axis], len(kept), *x.shape[axis + 1 :])
    return builder.step("take", shape, [x], list(kept), axis)


def _split(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    (x,), axis, parts, start = _full(builder, eqn, inputs), eqn.params["axis"], [], 0
    for size in eqn.params["sizes"]:
        parts.append(_cut(builder, x, axis, range(start, start + size)))
        start += size
    return parts


def _concatenate(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    parts, axis = _full(builder, eqn, inputs), eqn.params["dimension"]
    return [builder.step("concatenate", eqn.outvars[0].aval.shape, parts, int(axis))]


def _dot_general(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    """Multiply as matrices: [batch ..., M, K] by [batch ..., K, N], each of M, K and N the axes of
    its kind, one after the other."""
    (x_sum, y_sum), (x_batch, y_batch) = eqn.params["dimension_numbers"]
    x, y = _full(builder, eqn, inputs)
    x_free = tuple(a for a in range(len(x.shape)) if a not in (*x_sum, *x_batch))
    y_free = tuple(a for a in range(len(y.shape)) if a not in (*y_sum, *y_batch))
    x = builder.transpose(x, (*x_batch, *x_free, *x_sum))
    y = builder.transpose(y, (*y_batch, *y_sum, *y_free))
    batch = x.shape[: len(x_batch)]
    depth = math.prod(y.shape[len(batch) : len(batch) + len(y_sum)])
    rows = x.shape[len(batch) : len(batch) + len(x_free)]
    columns = y.shape[len(batch) + len(y_sum) :]
    x = builder.reshape(x, (*batch, math.prod(rows), depth))
    y = builder.reshape(y, (*batch, depth, math.prod(columns)))
    product = builder.step("matmul", (*batch, math.prod(rows), math.prod(columns)), [x, y])
    return [builder.reshape(product, (*batch, *rows, *columns))]


def _gather(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    """Take a part of an array: the same for all, or by `take_along_axis` one for each state."""
    numbers, out = eqn.params["dimension_numbers"], eqn.outvars[0].aval
    x, index = _full(builder, eqn, inputs)
    if index.constant is not None and len(index.shape) == 1:
        starts = map(int, np.asarray(index.constant))
        for axis, start in zip(numbers.start_index_map, starts, strict=True):
            x = _cut(builder, x, axis, range(start, start + eqn.params["slice_sizes"][axis]))
        return [builder.reshape(x, out.shape)]
    axes = (numbers.start_index_map, numbers.collapsed_slice_dims, numbers.operand_batching_dims)
    if axes != ((0,), (0,), (1,)) or index.shape[0] != 1:
        raise ValueError("cannot export a policy that gathers but to pick an action of each state")
    # x: [K, N, A]; index: [1, N, 1]. All others are zero in the sum.
    places = builder.constant(np.arange(x.shape[0], dtype=np.int32)[:, None, None])
    zero = builder.constant(np.zeros((), eqn.invars[0].aval.dtype))
    is_it = builder.step("equal", (x.shape[0], *index.shape[1:]), [places, index])
    kept = builder.step("where", x.shape, [is_it, x, zero])
    return [builder.reshape(builder.step("sum", x.shape[1:], [kept], 0), out.shape)]


def _scatter_add(builder: Builder, eqn: Any, inputs: list[Value]) -> list[Value]:
    """Undo the index of an axis of size 1, which is what a gradient does to `_gather`."""
    shape, numbers = eqn.outvars[0].aval.shape, eqn.params["dimension_numbers"]
    operand, index, updates = inputs
    known = [x.constant is not None and not np.any(x.constant) for x in (operand, index)]
    axes = numbers.inserted_window_dims
    if not all(known) or len(axes) != 1 or shape[axes[0]] != 1 or numbers.operand_batching_dims:
        raise ValueError("cannot export a policy that adds to parts of an array")
    return [builder.reshape(builder.full(updates, eqn.invars[2].aval.shape), shape)]


HANDLERS: dict[str, Callable[[Builder, Any, list[Value]], list[Value]]] = {
    "reshape": _reshape,
    "squeeze": _reshape,
    "expand_dims": _reshape,
    "broadcast_in_dim": _broadcast_in_dim,
    "transpose": _transpose,
    "convert_element_type": _convert,
    "reduce_sum": _reduction("sum"),
    "reduce_min": _reduction("min"),
    "reduce_max": _reduction("max"),
    "argmax": _argmax,
    "select_n": _select,
    "clamp": _clamp,
    "rsqrt": _rsqrt,
    "logistic": _logistic,
    "slice": _slice,
    "split": _split,
    "concatenate": _concatenate,
    "dot_general": _dot_general,
    "gather": _gather,
    "scatter-add": _scatter_add,
}
