"""The options of a constructor: what a command line can say of its signature or its config."""

import inspect
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

SCALARS = (bool, int, float, str)
REQUIRED = inspect.Parameter.empty  # the default of an option that has none


class Option(NamedTuple):
    """An option's type and default. help: a few words, where its name does not say all."""

    kind: Any
    default: Any
    help: str = ""


type Options = Mapping[str, Option | Options]  # an option of an option has a dot in its full name


def of_callable(function: Callable[..., Any], leave_out: Collection[str] = ()) -> dict[str, Option]:
    """Read the options of a function or a class from its signature. What has neither a type nor a
    default that words can say is left out, unless it must be given. `Annotated[float, "in m"]` says
    what an option is."""
    try:
        parameters = inspect.signature(function, eval_str=True).parameters
    except NameError:  # an annotation that is only there for a type checker
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin
        return {}
    found = {}
    for name, parameter in parameters.items():
        by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if not by_name or name in leave_out:
            continue
        kind, words = _described(parameter.annotation)
        if not is_simple(kind):
            kind = type_of(parameter.default)
        if kind is not None or parameter.default is REQUIRED:
            found[name] = Option(kind, parameter.default, words)
    return found


def _described(annotation: Any) -> tuple[Any, str]:
    """Split Annotated[kind, words]."""
    if get_origin(annotation) is not Annotated:
        return annotation, ""
    kind, *notes = get_args(annotation)
    return kind, next((note for note in notes if isinstance(note, str)), "")


def of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read the options of a configuration from its values, those within it too. -> Options."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) or hasattr(value, "items"):
            if inner := of_config(value):
                found[name] = inner
        elif (kind := type_of(value)) is not None:
            found[name] = Option(kind, tuple(value) if isinstance(value, list) else value)
    return found


def flat(options: Options, path: str = "") -> Iterator[tuple[str, Option]]:
    """Yield every option with its full name, as `reward.scale`."""
    for name, option in options.items():
        if isinstance(option, Option):
            yield path + name, option
        else:
            yield from flat(option, f"{path}{name}.")


def type_of(value: Any) -> Any:
    """Find the type of a default, None where words cannot say one."""
    if isinstance(value, SCALARS):
        return type(value)
    if isinstance(value, tuple | list) and value:
        kinds = {type(one) for one in value}
        if kinds <= {int, float}:
            return tuple[float if float in kinds else int, ...]  # type: ignore[misc]
        if kinds == {str}:
            return tuple[str, ...]
    return None


def is_simple(kind: Any) -> bool:
    """Say whether words can be read as a type."""
    if kind in SCALARS or get_origin(kind) is Literal:
        return True
    parts = get_args(kind)
    if get_origin(kind) is dict:
        return parts[0] is str and is_simple(parts[1])
    if get_origin(kind) in (Union, types.UnionType):
        return all(part is types.NoneType or is_simple(part) for part in parts)
    return get_origin(kind) is tuple and all(p is Ellipsis or p in SCALARS for p in parts)
