"""What holds of every file: no address of one machine or index, and the limits of size."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("drac_jax", "envs", "experiments")
NOT_OURS = {".git", ".venv", ".gpu", "build", "dist", "__pycache__"}
MAX_FILE_LINES = 299
MAX_FUNCTION_LINES = 40
MAX_CLOSURE_DEPTH = 2

# An absolute path below a directory where people keep things; no URL, no relative path.
MACHINE_PATH = re.compile(
    r"(?<![\w.~:/})-])/(?:home|Users|root|work|workspace|opt|mnt|tmp|scratch)/\w|[A-Z]:\\Users\\"
)
INDEX_ADDRESS = re.compile(
    r"--(?:extra-)?index(?:-url)?\b|--find-links|--trusted-host|(?:PIP|UV)_\w*INDEX"
    r"|https?://[^\s\"']+/simple\b|file://|jax-releases"
)


def listed_by_git() -> list[str]:
    """Return the files git tracks or would track; empty without git or outside a clone."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [name for name in listing.stdout.split("\0") if name]


def is_ours(path: Path) -> bool:
    folders = path.relative_to(ROOT).parts[:-1]
    return folders[:1] != ("runs",) and not any(
        name in NOT_OURS or name.endswith(("_cache", ".egg-info", ".hypothesis"))
        for name in folders
    )


def project_files() -> list[Path]:
    paths = [ROOT / name for name in listed_by_git()] or list(ROOT.rglob("*"))
    return sorted(path for path in paths if path.is_file() and is_ours(path))


def text_of(path: Path) -> str:
    """Return a file's text, or nothing if it is binary."""
    content = path.read_bytes()
    return "" if b"\0" in content[:8192] else content.decode("utf-8", errors="replace")


def functions_of(node: ast.AST, depth: int = 0):
    """Yield (function, number of functions around it) of everything below `node`."""
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_function:
            yield child, depth
        yield from functions_of(child, depth + is_function)


def lines_of(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def docstring_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return lines_of(function.body[0]) if ast.get_docstring(function) is not None else 0


SOURCES = [
    path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) if is_ours(path)
]
each_source = pytest.mark.parametrize(
    "path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES]
)


@pytest.mark.parametrize("pattern", [MACHINE_PATH, INDEX_ADDRESS], ids=["path", "index"])
def test_no_file_names_a_machine_or_an_index(pattern):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in project_files()
        if path != Path(__file__).resolve()
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


@each_source
def test_file_is_short(path):
    assert len(path.read_text("utf-8").splitlines()) <= MAX_FILE_LINES


@each_source
def test_functions_are_short(path):
    """Docstrings may be as long as the facts need; code may not."""
    functions = [f for f, _ in functions_of(ast.parse(path.read_text("utf-8")))]
    lengths = {f.name: lines_of(f) - docstring_lines(f) for f in functions}
    assert not {name: n for name, n in lengths.items() if n > MAX_FUNCTION_LINES}


@each_source
def test_closures_are_shallow(path):
    functions = functions_of(ast.parse(path.read_text("utf-8")))
    assert not [function.name for function, depth in functions if depth > MAX_CLOSURE_DEPTH]


def names_bound_by(path: Path) -> set[str]:
    """Return what a module imports by name, defines or assigns, at its top level."""
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names


@each_source
def test_no_export_hides_a_module(path):
    """`from package import name` would give the export to one who wants the module."""
    if path.name != "__init__.py":
        return
    modules = {p.stem for p in path.parent.iterdir()}
    package = ".".join(path.parent.relative_to(ROOT).parts)
    itself = {
        alias.name
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ImportFrom) and node.module == package
        for alias in node.names
    }
    assert not names_bound_by(path) & modules - itself


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("/home/ann/data", True),
        ('path = "/tmp/x"', True),
        ("C:\\Users\\ann", True),
        ("#!/usr/bin/env bash", False),
        ("https://example.org/home/x", False),
        ("runs/tmp/x", False),
        ("meters/work/s", False),
    ],
)
def test_machine_path_pattern(line, is_found):
    assert bool(MACHINE_PATH.search(line)) == is_found


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("pip install --index" + "-url x", True),
        ("--find-links wheels", True),
        ("https://mirror.example.org/pypi/" + "simple", True),
        ("a simple index of rows", False),
    ],
)
def test_index_address_pattern(line, is_found):
    assert bool(INDEX_ADDRESS.search(line)) == is_found
