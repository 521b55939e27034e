"""The law: experiments -> {envs, drac_jax}; envs -> drac_jax.types; drac_jax -> neither."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("drac_jax", "envs", "experiments")
# The runner and its rooms: what it writes, draws, saves, plays at the end, loads and foretells; the
# processes it has for company; the comparison, which runs it for one method after the other, and
# the parts, which do so for groups of members; how a run is stopped and found again, and its lock;
# and the processor, which is looked up in a file.
IMPURE = {"runner", "report", "plots", "checkpoint", "final", "saved", "dry_run"}
IMPURE |= {"compile_times", "processes", "compare", "compare_plots", "quality_diversity", "parts"}
IMPURE |= {"processor", "run_lock", "stopping", "restore"}
OUTSIDE_WORLD = {
    *("os", "pathlib", "shutil", "tempfile", "json", "subprocess"),  # files and processes
    *("time", "datetime"),  # clocks
    *("socket", "urllib", "http", "requests"),  # the network
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(path): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in SOURCES.items()}


def imports_of(module: str, tree: ast.AST, is_package: bool = False) -> set[str]:
    """Return the absolute names that `tree` imports, lazy and relative imports included.

    `from a import b` counts as `a.b` if that is a module of ours, and as `a` if not.
    """
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: None if is_package else -1]
            parents = parents[: len(parents) - node.level + 1] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            names = {f"{source}.{alias.name}" for alias in node.names}
            ours = names & SOURCES.keys()
            found |= ours | ({source} if names - ours else set())
    return found


IMPORTS = {
    name: imports_of(name, tree, SOURCES[name].name == "__init__.py")
    for name, tree in TREES.items()
}


def is_within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def breaches(module: str, imports: set[str]) -> set[str]:
    """Return the imports of `module` that the law forbids."""
    ours = {name for name in imports if is_within(name, *PACKAGES, "tests")}
    if is_within(module, "experiments"):
        return {name for name in ours if is_within(name, "tests")}
    if is_within(module, "envs"):
        return {name for name in ours if not is_within(name, "envs", "drac_jax.types")}
    forbidden = {name for name in ours if not is_within(name, "drac_jax")}
    if is_within(module, "drac_jax.algorithms"):
        loop = ("drac_jax.replay", "drac_jax.rollout", "drac_jax.train")
        forbidden |= {name for name in ours if is_within(name, *loop)}
    if module.split(".")[1:2] not in [[name] for name in IMPURE]:
        forbidden |= {name for name in imports if name.split(".")[0] in OUTSIDE_WORLD}
    return forbidden


def reachable(module: str) -> set[str]:
    """Return every module of ours that `module` imports, directly or through others."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        new = {name for name in IMPORTS.get(todo.pop(), ()) if name not in seen}
        seen |= new
        todo += new
    return seen


def test_packages_are_found():
    assert {name.split(".")[0] for name in SOURCES} == set(PACKAGES)


@pytest.mark.parametrize("module", SOURCES)
def test_module_keeps_the_law(module):
    assert not breaches(module, IMPORTS[module])


def test_training_loop_reaches_no_algorithm():
    used = reachable("drac_jax.train")
    assert not {name for name in used if is_within(name, "drac_jax.algorithms", "envs")}


@pytest.mark.parametrize("module", [m for m in SOURCES if is_within(m, "drac_jax")])
def test_only_impure_modules_open_files(module):
    calls = (node.func for node in ast.walk(TREES[module]) if isinstance(node, ast.Call))
    opens = any(isinstance(func, ast.Name) and func.id == "open" for func in calls)
    assert not opens or module.split(".")[1] in IMPURE


@pytest.mark.parametrize(
    ("module", "source", "forbidden"),
    [
        ("envs.a", "from drac_jax.types import EnvSpec", set()),
        ("envs.a", "from drac_jax import types", set()),
        ("envs.a", "import os", set()),
        ("envs.a", "import drac_jax", {"drac_jax"}),
        ("envs.a", "def f():\n    from drac_jax import networks", {"drac_jax.networks"}),
        ("envs.a", "import experiments.b", {"experiments.b"}),
        ("drac_jax.a", "from envs import make", {"envs"}),
        ("drac_jax.a", "import os.path", {"os.path"}),
        ("drac_jax.runner", "import os, time", set()),
        ("drac_jax.algorithms.a", "from ..train import x", {"drac_jax.train"}),
        ("drac_jax.algorithms.a", "from ..critics import x", set()),
        ("experiments.a", "import envs, drac_jax.runner", set()),
        ("experiments.a", "from tests import b", {"tests"}),
    ],
)
def test_law_tells_right_from_wrong(module, source, forbidden):
    assert breaches(module, imports_of(module, ast.parse(source))) == forbidden
