"""What the site makes of the code and the records when it is built.

A page asks by a comment on a line of its own, `<!-- results: mazes -->`; `MAKERS` lists the kinds.
Equations become MathML, so that a page needs neither a script nor a network.
"""

import html
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File

from docs.hooks import reference_tables
from experiments.studies import study_tables
from experiments.throughput import timing

ROOT = Path(__file__).parents[2]
REQUEST = re.compile(r"^<!-- (\w+):? ?([^\n]*?) ?-->$", re.MULTILINE)
EQUATION = re.compile(r'<(span|div) class="arithmatex">(?:\\\(|\\\[)(.*?)(?:\\\)|\\\])</\1>', re.S)


def benchmark(name: str) -> str:
    """Take the table of a benchmark's record, `cpu/latency_one_core`."""
    lines = (timing.RESULTS / f"{name}.md").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def results(name: str) -> str:
    """Make the table of a folder of experiments/results."""
    return study_tables.tables(name)[name]


def changelog(_: str) -> str:
    """Take the changelog, without its title."""
    return (ROOT / "CHANGELOG.md").read_text("utf-8").partition("\n")[2]


def contributing(_: str) -> str:
    """Take CONTRIBUTING.md, without its title."""
    return (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("\n")[2]


MAKERS: Mapping[str, Callable[[str], str]] = {
    "results": results,
    "benchmark": benchmark,
    "changelog": changelog,
    "contributing": contributing,
    **reference_tables.MAKERS,
}


def made(page: str) -> str:
    """Put what is made in the place of what asks for it. Raises KeyError for results or options
    that there are not."""

    def answer(request: re.Match) -> str:
        kind, name = request.groups()
        return MAKERS[kind](name) if kind in MAKERS else request.group()

    return REQUEST.sub(answer, page)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Answer a page's requests."""
    return made(markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Turn a page's equations into MathML."""

    def equation(found: re.Match) -> str:
        kind, latex = found.groups()
        return convert(html.unescape(latex.strip()), "block" if kind == "div" else "inline")

    return EQUATION.sub(equation, content)


def on_files(files: Any, config: Any) -> Any:
    """Add the pictures of the records, as records/mazes/pointmaze_simple.png."""
    for path in sorted(study_tables.RESULTS.rglob("*.png")):
        name = f"records/{path.relative_to(study_tables.RESULTS)}"
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files
