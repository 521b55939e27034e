"""Any environment by its name: of a library, of a module, or of a file."""

import contextlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drac_jax.types import Environment
from envs.foreign import own_code, signatures
from envs.foreign.brax_protocol import adapt
from envs.foreign.libraries import LIBRARIES, Library
from envs.foreign.signatures import Options

# What `adapt` may be told.
ADAPT_OPTIONS: Options = signatures.of_callable(adapt, leave_out=("env",))


def is_foreign(name: str) -> bool:
    """Say whether a name is of this module: `library:name`, `module:function`, `file.py`."""
    return ":" in name or own_code.is_file(name)


def options_of(name: str) -> Options:
    """List what a named environment may be told: the options of its constructor, and those of
    `adapt`. Raises ValueError for an unknown name."""
    if (library := _library(name)) is not None:
        with _told_of(name):
            own, adapts = library.options(_inner(name)), not library.batched
    else:
        own, adapts = signatures.of_callable(_own_code(name)), True
    return {**(ADAPT_OPTIONS if adapts else {}), **own}


def load(name: str, **options: Any) -> Environment:
    """Load `<library>:<name>`, `module:function` or `file.py:function`.

    options: of its constructor or its config, where those within others have a dot in their names,
    and of `adapt`. Raises ValueError for an unknown name, and for what its constructor refuses.
    """
    library = _library(name)
    constructor: Options = {}
    if library is not None:
        with _told_of(name):
            constructor = library.options(_inner(name))
    for_adapt = set() if library and library.batched else ADAPT_OPTIONS.keys() - constructor.keys()
    given = {key: value for key, value in options.items() if key in for_adapt}
    own = {key: value for key, value in options.items() if key not in given}
    if library is None:
        env = _from_own_code(name, own, given)
    else:
        with _told_of(name):
            env = library.make(_inner(name), own)
        if given.get("max_steps") is None and library.max_steps:
            given["max_steps"] = library.max_steps
        env = adapt(env, **given)
    return env._replace(spec=env.spec._replace(name=_spec_name(name)))


def _spec_name(name: str) -> str:
    """Make a name that can be a file's: without a folder, a suffix, or a colon."""
    place, _, inner = name.partition(":")
    return "_".join(Path(part).stem for part in (place, inner) if part)


def _library(name: str) -> Library | None:
    return None if own_code.is_file(name) else LIBRARIES.get(name.partition(":")[0])


def _inner(name: str) -> str:
    return name.partition(":")[2]


def _own_code(name: str) -> Any:
    try:
        return own_code.find_factory(name)
    except ValueError as error:
        if own_code.is_file(name) or "." in name.partition(":")[0]:
            raise ValueError(f"environment {name!r}: {error}") from error
        known = ", ".join(f"{key}:<name>" for key in LIBRARIES)
        place = name.partition(":")[0]
        raise ValueError(
            f"environment {name!r} is unknown; {place!r} is none of {known}, and {error}"
        ) from error


def _from_own_code(name: str, options: Mapping[str, Any], given: Mapping[str, Any]) -> Environment:
    factory = _own_code(name)
    own = signatures.of_callable(factory)
    options = {**options, **{key: value for key, value in given.items() if key in own}}
    with own_code.one_line(name):
        env = factory(**options)
    try:
        if _is_of_gymnasium(env):
            from envs.foreign.gymnasium_host import from_factory

            return from_factory(lambda: factory(**options), given.get("max_steps"))
        return adapt(env, **{key: value for key, value in given.items() if key not in own})
    except ValueError as error:
        raise ValueError(f"{name} makes {type(env).__name__}: {error}") from error


def _is_of_gymnasium(env: Any) -> bool:
    gymnasium = sys.modules.get("gymnasium")  # which whoever makes one of its has imported
    return gymnasium is not None and isinstance(env, gymnasium.Env)


@contextlib.contextmanager
def _told_of(name: str):
    """Keep what a library prints (that warp is not there) to itself, and turn whatever its
    constructors, and its downloads of models, raise into a ValueError of one line."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except Exception as error:
        said = own_code.first_line(error) or type(error).__name__
        raise ValueError(f"{name} cannot be made: {said}") from error
