"""Functions of a user's file, named as `arm.py:reward`."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType

from envs.foreign.own_code import run_file


def find_all(references: Mapping[str, str | None]) -> dict[str, Callable]:
    """Get the functions that are named, by the options that name them. A file is run once.

    Raises ValueError for a file or a function that is not there, and a file that fails.
    """
    run = cache(run_file)
    return {option: _find(option, name, run) for option, name in references.items() if name}


def _find(option: str, reference: str, run: Callable[[Path, str], ModuleType]) -> Callable:
    path, colon, name = reference.rpartition(":")
    if not (colon and path and name):
        raise ValueError(f"{option}={reference!r} names no file and function; use arm.py:reward")
    if not Path(path).is_file():
        raise ValueError(f"{option}={reference!r}: there is no file {path}")
    module = run(Path(path).absolute(), path)
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, x in vars(module).items() if callable(x) and key[0] != "_"]
        near = ", ".join(get_close_matches(name, known, n=3, cutoff=0.0)) or "no functions"
        raise ValueError(f"{option}={reference!r}: {path} has no function {name}; it has {near}")
    return function


def raises(error: Exception) -> str:
    """Say in one line what was raised."""
    return f"raises {type(error).__name__}: {one_line(error)}"


def one_line(error: Exception) -> str:
    """Write the message of an error in one line, without what JAX adds about its own frames."""
    return " ".join(str(error).partition("\n--------")[0].split())
