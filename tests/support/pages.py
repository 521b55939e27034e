"""The README and the site's pages: their code, their commands, and why some of it is not run."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:<!-- not run: ([^\n]+) -->\n+)?```(\w+)[^\n]*\n(.*?)```", re.DOTALL)
SPAN = re.compile(r"(?<!`)`((?:make|\.venv/bin/python -m|python -m) [^`]+)`(?!`)")
PATTERN = re.compile(r"<(?!id>)\w+>|\.\.\.|\bNAME --help|\bRUN\b")  # of a command, not one itself


class Block(NamedTuple):
    """A block of code. reason: why it is not run, if it says so."""

    page: str
    language: str
    code: str
    reason: str


def read(page: Path) -> str:
    return page.read_text("utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(language: str) -> list[Block]:
    """List the blocks of a language, page by page."""
    return [
        Block(name_of(page), found, code, reason or "")
        for page in PAGES
        for reason, found, code in BLOCK.findall(read(page))
        if found == language
    ]


def commands() -> list[tuple[str, str]]:
    """List (page, command), of blocks and of running text. Those of blocks with a reason, and what
    only shows the form of a command, are left out."""
    found = []
    for block in blocks("bash"):
        if not block.reason:
            lines = block.code.replace("\\\n", " ").splitlines()
            found += [(block.page, line.strip()) for line in lines if line.strip()]
    for page in PAGES:
        text = BLOCK.sub("", read(page))
        found += [(name_of(page), " ".join(span.split())) for span in SPAN.findall(text)]
    return [(page, line) for page, line in dict.fromkeys(found) if not PATTERN.search(line)]


def expand(line: str) -> list[list[str]]:
    """Say what a command runs, as words: of make, its recipe. Raises CalledProcessError for a
    target that there is not."""
    if not line.startswith("make "):
        return [shlex.split(line, comments=True)]
    words = shlex.split(line, comments=True)
    extras = [word.partition("=")[2] for word in words if word.startswith("EXTRAS=")] or ["dev"]
    installed = f".venv/.installed-{extras[0]}"
    recipe = subprocess.run(
        ["make", "-n", "-o", installed, *words[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [shlex.split(one) for one in recipe.splitlines() if " -m " in one]
