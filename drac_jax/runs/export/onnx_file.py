"""A program as an ONNX model, and its actions in onnxruntime. Both packages are the extra
`export`."""

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from drac_jax.runs.export.steps import Program, Step

# Opset 18 takes the axes of every reduction as an input; onnxruntime 1.14 and later have it.
OPSET, IR_VERSION = 18, 8
OPERATORS = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "maximum": "Max",
    "minimum": "Min",
    "tanh": "Tanh",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "negative": "Neg",
    "absolute": "Abs",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "greater": "Greater",
    "equal": "Equal",
    "greater_equal": "GreaterOrEqual",
    "matmul": "MatMul",
    "where": "Where",
}
REDUCTIONS = {"sum": "ReduceSum", "min": "ReduceMin", "max": "ReduceMax"}
ROWS = "number_of_observations"


class Graph:
    """The nodes and the constants of a model so far."""

    def __init__(self, program: Program) -> None:
        self.helper = _package("onnx.helper")
        self.from_array = _package("onnx.numpy_helper").from_array
        self.nodes: list[Any] = []
        self.constants = [self.from_array(x, f"v{i}") for i, x in program.constants.items()]

    def node(self, operator: str, inputs: list[str], out: str, **attributes: Any) -> str:
        """Append a node."""
        self.nodes.append(self.helper.make_node(operator, inputs, [out], **attributes))
        return out

    def integers(self, values: Any, name: str) -> str:
        """Keep integers, as operators take them for shapes and axes."""
        self.constants.append(self.from_array(np.asarray(values, np.int64), name))
        return name


def require() -> None:
    """Raise ValueError where a package that this format needs is not installed."""
    for name in ("onnx", "onnxruntime"):
        _package(name)


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise ValueError(
            f"the format onnx needs {name.partition('.')[0]}; pip install 'drac_jax[export]'"
        ) from None


def write(program: Program, names: list[str], sizes: list[int], about: dict, path: Path) -> None:
    """Write a model with the inputs `names`, [N, size] each, and the output `action` [N, A].

    about: what its metadata says, each value as JSON. Raises ValueError where onnx is not
    installed, and for a step that ONNX has no operator for.
    """
    graph, helper = Graph(program), _package("onnx.helper")
    for number, name in enumerate(names):
        graph.node("Identity", [name], f"v{number}")
    graph.node("Shape", [names[0]], ROWS, start=0, end=1)
    for step in program.steps:
        _append(graph, step)
    graph.node("Identity", [f"v{program.output}"], "action")
    float32 = _package("onnx").TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info(name, float32, ["N", size])
        for name, size in zip(names, sizes, strict=True)
    ]
    action = helper.make_tensor_value_info("action", float32, ["N", about["action_size"]])
    made = helper.make_graph(graph.nodes, about["run"], inputs, [action], graph.constants)
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="drac_jax",
    )
    helper.set_model_props(model, {name: json.dumps(value) for name, value in about.items()})
    _package("onnx.checker").check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _append(graph: Graph, step: Step) -> None:
    name, inputs, out = step.name, [f"v{i}" for i in step.inputs], f"v{step.out}"
    if name in OPERATORS:
        graph.node(OPERATORS[name], inputs, out)
    elif name in REDUCTIONS:
        axes = graph.integers([step.arguments[0]], f"{out}_axes")
        graph.node(REDUCTIONS[name], [*inputs, axes], out, keepdims=0)
    elif name in OTHERS:
        OTHERS[name](graph, inputs, out, step.arguments)
    else:
        raise ValueError(f"the format onnx has nothing for {name!r}; use --to jax or numpy")


def _square(graph: Graph, inputs: list[str], out: str, arguments: tuple) -> None:
    graph.node("Mul", inputs * 2, out)


def _not_equal(graph: Graph, inputs: list[str], out: str, arguments: tuple) -> None:
    graph.node("Not", [graph.node("Equal", inputs, f"{out}_equal")], out)


def _reshape(graph: Graph, inputs: list[str], out: str, arguments: tuple) -> None:
    graph.node("Reshape", [*inputs, graph.integers(arguments[0], f"{out}_shape")], out)


def _broadcast_to(graph: Graph, inputs: list[str], out: str, arguments: tuple) -> None:
    sizes = [
        ROWS if size < 0 else graph.integers([size], f"{out}_size{axis}")
        for axis, size in enumerate(arguments[0])
    ]
    graph.node("Expand", [*inputs, graph.node("Concat", sizes, f"{out}_shape", axis=0)], out)


def _transpose(graph: Graph, inputs: list[str], out: str, arguments: tuple) -> None:
    graph.node("Transpose", inputs, out, perm=list(arguments[0]))


def _take(graph: Graph, inputs: list[str], out: str, arguments: tuple) -> None:
    index, axis = arguments
    graph.node("Gather", [*inputs, graph.integers(index, f"{out}_index")], out, axis=axis)


def _concatenate(graph: Graph, inputs: list[str], out: str, arguments: tuple) -> None:
    graph.node("Concat", inputs, out, axis=arguments[0])


def _argmax(graph: Graph, inputs: list[str], out: str, arguments: tuple) -> None:
    graph.node("ArgMax", inputs, out, axis=arguments[0], keepdims=0)


def _asarray(graph: Graph, inputs: list[str], out: str, arguments: tuple) -> None:
    dtype = graph.helper.np_dtype_to_tensor_dtype(np.dtype(arguments[0]))
    graph.node("Cast", inputs, out, to=dtype)


OTHERS: Mapping[str, Callable[[Graph, list[str], str, tuple], None]] = {
    "square": _square,
    "not_equal": _not_equal,
    "reshape": _reshape,
    "broadcast_to": _broadcast_to,
    "transpose": _transpose,
    "take": _take,
    "concatenate": _concatenate,
    "argmax": _argmax,
    "asarray": _asarray,
}


def player(path: Path, threads: int = 1) -> Callable[..., np.ndarray]:
    """Load a model into onnxruntime: its inputs, in their order -> action. Raises ValueError where
    onnxruntime is not installed."""
    runtime = _package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def play(*arrays: np.ndarray) -> np.ndarray:
        return session.run(["action"], dict(zip(names, arrays, strict=True)))[0]

    return play
