"""A policy as a list of NumPy calls: what the exports to NumPy and ONNX are written from."""

from typing import Any, NamedTuple

import numpy as np


class Step(NamedTuple):
    """values[out] = np.<name>(*values[inputs], *arguments). `concatenate`
    takes a list of its inputs; -1 among the sizes of a shape is N, or a multiple of it."""

    name: str
    out: int
    inputs: tuple[int, ...]
    arguments: tuple[Any, ...] = ()


class Program(NamedTuple):
    """Steps from the inputs, which are the values 0, 1, ..., to the output."""

    num_inputs: int
    constants: dict[int, np.ndarray]
    steps: list[Step]
    output: int


class Value(NamedTuple):
    """A value while a program is made. shape: as the steps make it, which is 1 along an axis where
    the traced one may only repeat itself; constant: where it is known."""

    number: int
    shape: tuple
    constant: Any = None


class Builder:
    """The steps so far, and the constants that they use."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.constants: dict[int, Any] = {}
        self.count = 0

    def value(self, shape: tuple, constant: Any = None) -> Value:
        """Number a new value."""
        self.count += 1
        if constant is not None:
            self.constants[self.count - 1] = constant
        return Value(self.count - 1, shape, constant)

    def constant(self, array: Any) -> Value:
        """Number a known value."""
        return self.value(np.shape(array), array)

    def step(self, name: str, shape: tuple, inputs: list[Value], *arguments: Any) -> Value:
        """Take a step, at once where all that it needs is known."""
        if all(x.constant is not None for x in inputs) and not is_symbolic(shape):
            return self.constant(
                take_step(name, [np.asarray(x.constant) for x in inputs], arguments)
            )
        out = self.value(shape)
        self.steps.append(Step(name, out.number, tuple(x.number for x in inputs), arguments))
        return out

    def reshape(self, x: Value, shape: tuple) -> Value:
        """Take a reshape, unless the shape is as it should be."""
        return x if x.shape == shape else self.step("reshape", shape, [x], sizes(shape))

    def transpose(self, x: Value, axes: tuple[int, ...]) -> Value:
        """Take a transpose, unless the axes are in order."""
        if axes == tuple(range(len(axes))):
            return x
        return self.step("transpose", tuple(x.shape[axis] for axis in axes), [x], axes)

    def full(self, x: Value, shape: tuple) -> Value:
        """Repeat a value to the shape that was traced."""
        x = self.reshape(x, (1,) * (len(shape) - len(x.shape)) + tuple(x.shape))
        return x if x.shape == shape else self.step("broadcast_to", shape, [x], sizes(shape))

    def program(self, num_inputs: int, output: Value) -> Program:
        """Leave out what the output does not need, and keep equal constants once."""
        wanted, kept = {output.number}, []
        for step in reversed(self.steps):
            if step.out in wanted:
                wanted |= set(step.inputs)
                kept.append(step)
        arrays = {i: np.asarray(x) for i, x in self.constants.items() if i in wanted}
        firsts: dict[tuple, int] = {}
        same = {i: firsts.setdefault((x.dtype, x.shape, x.tobytes()), i) for i, x in arrays.items()}
        steps = [s._replace(inputs=tuple(same.get(i, i) for i in s.inputs)) for s in kept[::-1]]
        constants = {i: arrays[i] for i in firsts.values()}
        return Program(num_inputs, constants, steps, same.get(output.number, output.number))


def take_step(name: str, inputs: list[np.ndarray], arguments: tuple[Any, ...]) -> np.ndarray:
    """Compute one step whose arguments do not depend on N."""
    return getattr(np, name)(*([inputs] if name == "concatenate" else inputs), *arguments)


def sizes(shape: tuple) -> tuple[int, ...]:
    """Write -1 for the one size that depends on N. Raises ValueError where two do."""
    written = tuple(-1 if is_symbolic((size,)) else int(size) for size in shape)
    if written.count(-1) > 1:
        raise ValueError(f"cannot export a policy that has an array of shape {shape}")
    return written


def is_symbolic(shape: tuple) -> bool:
    """Say whether a shape depends on N."""
    return any(not isinstance(size, int | np.integer) for size in shape)


def broadcast(shapes: list[tuple]) -> tuple:
    """Find the shape of a result, whose sizes are 1 or what they should be."""
    longest = max(map(len, shapes))
    padded = [(1,) * (longest - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(
        next((size for size in column if is_symbolic((size,)) or size != 1), 1)
        for column in zip(*padded, strict=True)
    )
