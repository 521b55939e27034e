"""Functions of a user's file, named as `arm.py:reward`."""

import importlib.util
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType


def find(option: str, reference: str) -> Callable:
    """Get the function that `reference` names. option: what it is for, for messages.

    Raises ValueError for a file or a function that is not there, and a file that fails.
    """
    path, colon, name = reference.rpartition(":")
    if not (colon and path and name):
        raise ValueError(f"{option}={reference!r} names no file and function; use arm.py:reward")
    if not Path(path).is_file():
        raise ValueError(f"{option}={reference!r}: there is no file {path}")
    module = _load(Path(path))
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, x in vars(module).items() if callable(x) and key[0] != "_"]
        near = ", ".join(get_close_matches(name, known, n=3, cutoff=0.0)) or "no functions"
        raise ValueError(f"{option}={reference!r}: {path} has no function {name}; it has {near}")
    return function


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises
        raise ValueError(f"{path} {raises(error)}") from error
    return module


def raises(error: Exception) -> str:
    """Say in one line what was raised."""
    return f"raises {type(error).__name__}: {one_line(error)}"


def one_line(error: Exception) -> str:
    """Write the message of an error in one line, without what JAX adds about its own frames."""
    return " ".join(str(error).partition("\n--------")[0].split())
