"""Environments of one's own, by where their code is: `module:function`, `file.py:function`."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from inspect import isclass, isfunction
from pathlib import Path
from types import ModuleType
from typing import Any

FACTORIES = ("make_env", "make_task")  # what a file need not name


def is_file(name: str) -> bool:
    """Say whether a name is that of a file: `path/to/file.py`, `path/to/file.py:function`."""
    return name.endswith(".py") or ".py:" in name


def find_factory(name: str) -> Callable[..., Any]:
    """Find what makes the environment `name`, importing its code.

    Raises ValueError for a module, a file or a function that is not there, and for code that fails.
    """
    if is_file(name):
        place, _, function = name.partition(".py:")
        path = Path(place if function else name).with_suffix(".py")
        code, what = _import_file(path.absolute(), str(path)), str(path)
        return _pick(code, what, function or _obvious(code, what))
    what, _, function = name.partition(":")
    if not function:
        raise ValueError(f"{name!r} names no function; say {what}:FUNCTION")
    return _pick(_import_module(what), f"module {what}", function)


@cache
def _import_file(path: Path, shown: str) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"there is no file {shown}; paths begin at {Path.cwd()}")
    return run_file(path, shown)


def run_file(path: Path, shown: str) -> ModuleType:
    """Run a user's file as a module. shown: what messages call it. Raises ValueError for what is no
    Python file, and for what it raises."""
    spec = importlib.util.spec_from_file_location(f"_environment_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{shown} is not a Python file; its name must end in .py")
    code = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = code  # where its dataclasses look their types up
    sys.path.insert(0, str(path.parent))  # as if it were run
    try:
        with one_line(shown):
            spec.loader.exec_module(code)
    finally:
        sys.path.remove(str(path.parent))
    return code


def _import_module(name: str) -> ModuleType:
    try:
        with one_line(f"module {name}", ModuleNotFoundError):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ValueError(f"there is no module {name!r} that can be imported") from None
        raise ValueError(f"module {name} needs {error.name!r}, which is not installed") from None


@contextmanager
def one_line(what: str, *but: type[Exception]):
    """Tell what somebody's code raises as a ValueError of one line, with the line it came from."""
    try:
        yield
    except but:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        said = first_line(error) or "without a word"
        raise ValueError(f"{what} raises {type(error).__name__}: {said}{place}") from error


def first_line(error: Exception) -> str:
    """Take the first line of an error's message that is not empty, or nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")


def _pick(code: ModuleType, what: str, function: str) -> Callable[..., Any]:
    if not hasattr(code, function):
        near = get_close_matches(function, _made_here(code), n=3, cutoff=0.0)
        advice = f"; it has {', '.join(near)}" if near else ""
        raise ValueError(f"{what} has no function {function!r}{advice}")
    found = getattr(code, function)
    if isinstance(found, tuple) and not isclass(found):  # a Task or an Environment, made already
        return lambda: found
    if not callable(found):
        kind = type(found).__name__
        raise ValueError(f"{what}:{function} is {kind}, not a function that makes an environment")
    return found


def _obvious(code: ModuleType, what: str) -> str:
    """Name the one function of a file that makes an environment."""
    made = _made_here(code)
    named = [name for name in FACTORIES if name in made] or (made if len(made) == 1 else [])
    if not named:
        there = f"it has {', '.join(made)}" if made else "it has no functions"
        raise ValueError(f"{what}: which function makes the environment? {there}; say {what}:NAME")
    return named[0]


def _made_here(code: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(code).items()
        if not name.startswith("_")
        and (isfunction(value) or isclass(value))
        and value.__module__ == code.__name__
    ]
