"""Tables of the code itself: options with defaults and comments, experiments, methods, studies."""

import ast
import html
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from typing import Any, TypeVar

from drac_jax.algorithms.registry import METHODS
from drac_jax.figures import method_table
from experiments import EXPERIMENTS
from experiments.cli.commands.bench_command import SUITES
from experiments.studies.catalogue import STUDIES

SHOWN = ("env_steps", "num_envs", "updates_per_iteration", "batch_size", "epochs")


def table(heading: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Write a table of words in Markdown."""
    cells = [
        [str(x).replace("|", "\\|").replace("\n", " ") for x in row] for row in (heading, *rows)
    ]
    return method_table.markdown(cells, align="---")


def comments_of(kind: type) -> dict[str, str]:
    """Read what a class's source says of each field: the comment behind it, or that above it."""
    lines = textwrap.dedent(inspect.getsource(kind)).splitlines()
    (tree,) = ast.parse("\n".join(lines)).body
    assert isinstance(tree, ast.ClassDef)
    said: dict[str, str] = {}
    for node in tree.body:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        first, end = node.lineno - 1, node.end_lineno or node.lineno
        behind = lines[end - 1][node.end_col_offset or 0 :].partition("#")[2].strip()
        above = []
        while lines[first - 1].strip().startswith("#"):
            first -= 1
            above.insert(0, lines[first].strip().lstrip("# "))
        said[node.target.id] = behind or " ".join(above)
    return said


def all_comments(kind: type) -> dict[str, str]:
    """Read the comments of a class's fields and of those that it inherits."""
    said: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.split(".")[0] in ("drac_jax", "envs", "experiments"):
            said |= comments_of(base)
    return said


def default_of(field: Any) -> Any:
    """Find a field's default."""
    if field.default is not MISSING:
        return field.default
    return None if field.default_factory is MISSING else field.default_factory()


def shown(value: Any) -> Any:
    """Say a value as the command line has it."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "none" if value in (None, "", {}) else value


def holds_others(field: Any) -> bool:
    """Say whether a field is a group of options, which has a table of its own."""
    kind = getattr(field.type, "__origin__", field.type)
    return isinstance(kind, TypeVar) or is_dataclass(kind)


def escaped(text: str) -> str:
    """Keep `<id>` from being read as HTML, where it is not code."""
    parts = text.split("`")
    return "`".join(p if i % 2 else html.escape(p, quote=False) for i, p in enumerate(parts))


def options(name: str) -> str:
    """List the fields of a dataclass, `module:Class --prefix`: option, default, meaning."""
    where, _, prefix = name.partition(" ")
    module, _, kind = where.partition(":")
    return options_of(getattr(import_module(module), kind), prefix)


def options_of(kind: type, prefix: str, default: Any = None) -> str:
    """List the fields of a dataclass. prefix: of its options; default: an instance, whose values
    are shown instead of the class's."""
    said = all_comments(kind)
    rows = []
    for field in fields(kind):
        if holds_others(field):
            continue
        value = default_of(field) if default is None else getattr(default, field.name)
        option = f"{prefix}{field.name.replace('_', '-') if prefix else field.name}"
        rows.append((f"`{option}`", f"`{shown(value)}`", escaped(said.get(field.name, ""))))
    return table(("option", "default", "meaning"), rows)


def hparams(method: str) -> str:
    """List a method's hyperparameters."""
    value = METHODS[method].hparams
    return options_of(type(value), "--hparams.", value)


def choices(method: str) -> str:
    """List a method's static options."""
    value = METHODS[method].options
    return options_of(type(value), "--algorithm.", value)


def experiments(_: str) -> str:
    """List the tasks with their presets; each is played by every method."""
    tasks = {name.rpartition("_")[0]: one for name, one in EXPERIMENTS.items()}
    rows = [
        (f"`{name}_<method>`", one.summary.rpartition(": ")[0], ", ".join(one.presets))
        for name, one in tasks.items()
    ]
    return table(("experiment", "task", "presets"), rows)


def methods(_: str) -> str:
    """List the methods by the names that commands take."""
    rows = [(f"`{name}`", method.summary) for name, method in METHODS.items()]
    return table(("name", "method"), rows)


def presets(experiment: str) -> str:
    """List what an experiment's presets set."""
    rows = [
        (f"`{name}`", *(f"{getattr(config.train, field):,}" for field in SHOWN))
        + tuple(f"{getattr(config.hparams, field):g}" for field in ("beta", "gamma", "tau"))
        for name, config in EXPERIMENTS[experiment].presets.items()
    ]
    heading = ("preset", *SHOWN, "beta", "gamma", "tau")
    return table(tuple(name.replace("_", " ") for name in heading), rows)


def suites(_: str) -> str:
    """List the suites of `bench`."""
    return table(("suite", "measures"), [(f"`{name}`", what) for name, (_, what) in SUITES.items()])


def studies(_: str) -> str:
    """List the studies of the catalogue."""
    rows = [(f"`{name}`", study.summary) for name, study in STUDIES.items()]
    return table(("study", "trains"), rows)


MAKERS: Mapping[str, Callable[[str], str]] = {
    "options": options,
    "hparams": hparams,
    "choices": choices,
    "experiments": experiments,
    "methods": methods,
    "presets": presets,
    "suites": suites,
    "studies": studies,
}
