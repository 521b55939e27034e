"""Who may import whom: one table of folders. Only `drac_jax.runs` and `drac_jax.figures` touch the
world outside of the program."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("drac_jax", "envs", "experiments")
ROOMS = ("drac_jax.types", "drac_jax.ranges")  # modules that count as folders of their own
BASE = set(ROOMS)
NETWORKS = BASE | {"drac_jax.networks"}
ALGORITHMS = NETWORKS | {"drac_jax.diversity", "drac_jax.actors"}
PURE = ALGORITHMS | {"drac_jax.algorithms", "drac_jax.training", "drac_jax.measures"}
FIGURES = BASE | {"drac_jax.measures"}
RUNS = "drac_jax.runs"
# What a folder may import besides itself. A folder that is not named follows the one around it.
LAW: dict[str, set[str]] = {
    "drac_jax.types": set(),
    "drac_jax.ranges": set(),
    "drac_jax.diversity": set(),
    "drac_jax.measures": set(),
    "drac_jax.networks": BASE,
    "drac_jax.actors": NETWORKS | {"drac_jax.diversity"},
    "drac_jax.algorithms": ALGORITHMS,
    "drac_jax.training": BASE,
    "drac_jax.figures": FIGURES,
    f"{RUNS}.hardware": BASE | {"drac_jax.training"},
    f"{RUNS}.storage": BASE | {"drac_jax.training", f"{RUNS}.hardware"},
    f"{RUNS}.setup": PURE | {f"{RUNS}.hardware", f"{RUNS}.storage"},
    f"{RUNS}.execution": PURE
    | {"drac_jax.figures", f"{RUNS}.hardware", f"{RUNS}.storage", f"{RUNS}.setup"},
    RUNS: PURE | {"drac_jax.figures"},
    "drac_jax": {"drac_jax"},
    "envs": {"drac_jax.types"},
    "experiments": {"drac_jax", "envs"},
}
WORLDLY = (RUNS, "drac_jax.figures", "envs", "experiments")
OUTSIDE_WORLD = {
    *("os", "pathlib", "shutil", "tempfile", "json", "subprocess"),  # files and processes
    *("time", "datetime", "signal"),  # clocks and signals
    *("socket", "urllib", "http", "requests"),  # the network
}
MOST_ENTRIES = 10  # of a folder


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


def folder_of(module: str) -> str:
    """Find the row of the law for a module: the innermost folder that is named."""
    return max((name for name in LAW if is_within(module, name)), key=len)


def breaches(module: str, imports: set[str]) -> set[str]:
    """Return the imports of `module` that the law forbids."""
    folder = folder_of(module)
    ours = {name for name in imports if is_within(name, *PACKAGES, "tests")}
    forbidden = {name for name in ours if not is_within(name, folder, *LAW[folder])}
    if not is_within(module, *WORLDLY):
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


@pytest.mark.parametrize("module", SOURCES)
def test_no_module_imports_itself_through_others(module):
    assert module not in reachable(module)


def test_training_loop_reaches_no_algorithm():
    used = reachable("drac_jax.training.loop")
    assert not {name for name in used if is_within(name, "drac_jax.algorithms", "envs")}


@pytest.mark.parametrize("module", [m for m in SOURCES if not is_within(m, *WORLDLY)])
def test_pure_modules_open_no_files(module):
    calls = (node.func for node in ast.walk(TREES[module]) if isinstance(node, ast.Call))
    assert not any(isinstance(func, ast.Name) and func.id == "open" for func in calls)


@pytest.mark.parametrize("folder", sorted({path.parent for path in SOURCES.values()}), ids=str)
def test_folder_has_few_entries(folder):
    entries = {path.relative_to(folder).parts[0] for path in folder.rglob("*.py")}
    assert len(entries - {"__init__.py", "__main__.py"}) <= MOST_ENTRIES


def test_no_two_modules_have_one_name():
    packages = {name.rpartition(".")[0] for name in SOURCES}
    names = [m.rpartition(".")[2] for m in SOURCES if m not in packages and "__" not in m]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    ("module", "source", "forbidden"),
    [
        ("envs.a", "from drac_jax.types import EnvSpec", set()),
        ("envs.a", "from drac_jax import types", set()),
        ("envs.a", "import os", set()),
        ("envs.a", "import drac_jax", {"drac_jax"}),
        ("envs.a", "def f():\n    from drac_jax import networks", {"drac_jax.networks"}),
        ("envs.a", "import experiments.b", {"experiments.b"}),
        ("drac_jax.actors.a", "from envs import make", {"envs"}),
        ("drac_jax.training.a", "import os.path", {"os.path"}),
        ("drac_jax.training.a", "from drac_jax.algorithms import x", {"drac_jax.algorithms"}),
        ("drac_jax.runs.execution.a", "import os, time", set()),
        ("drac_jax.runs.storage.a", "import drac_jax.runs.setup.b", {"drac_jax.runs.setup.b"}),
        ("drac_jax.algorithms.a", "from ..training.loop import x", {"drac_jax.training.loop"}),
        ("drac_jax.algorithms.a", "from ..networks.critics import x", set()),
        ("experiments.a", "import envs, drac_jax.runs.execution.runner", set()),
        ("experiments.a", "from tests import b", {"tests"}),
    ],
)
def test_law_tells_right_from_wrong(module, source, forbidden):
    assert breaches(module, imports_of(module, ast.parse(source))) == forbidden
