"""The numbers of the README and the site are those of the records, and the tables those of the
code."""

import re

import pytest

from docs.hooks import generated
from drac_jax.algorithms.registry import METHODS
from experiments import EXPERIMENTS
from experiments.cli.main import main
from experiments.studies import study_tables
from tests.support.pages import PAGES, ROOT, name_of, read

SITE = {name_of(page): generated.made(read(page)) for page in PAGES}
TABLES = ("multigoal_compare", "multigoal_gamma", "multigoal_gamma_0.99", "mazes")
TABLES += ("pointmaze_simple_default", "pointmaze_medium_default")
TABLES += ("pointmaze_medium_fast", "pointmaze_hard_fast")
MEASURED = ("end_to_end_return_sac_one_core", "end_to_end_return_drac_one_core")
MEASURED += ("end_to_end_brax_inverted_pendulum_one_core", "latency_one_core")
MEASURED += ("methods_one_core",)


def test_the_readme_is_short():
    assert len(read(ROOT / "README.md").splitlines()) <= 150


def test_tables_of_the_records_are_printed(capsys):
    assert main(["study"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{name}\n" in printed for name in TABLES)


def test_a_study_that_there_is_not_is_answered_with_those_there_are(capsys):
    assert main(["study", "locomotoin_cpu"]) == 2
    said = capsys.readouterr().err
    assert "nearest: locomotion_cpu" in said and "kept results: mario" in said


@pytest.mark.parametrize("name", TABLES)
def test_the_site_has_the_table_of(name):
    table = study_tables.tables(name)[name]
    assert any(table in text for text in SITE.values())


@pytest.mark.parametrize("name", MEASURED)
def test_the_site_has_the_benchmark(name):
    rows = generated.benchmark(f"cpu/{name}").splitlines()
    assert len(rows) > 2 and any(all(row in text for row in rows) for text in SITE.values())


@pytest.mark.parametrize("page", SITE)
def test_no_request_is_left(page):
    left = [kind for kind, _ in generated.REQUEST.findall(SITE[page]) if kind != "not"]
    assert not left


@pytest.mark.parametrize("method", METHODS)
def test_the_tables_of_methods_have(method):
    for page in ("README.md", "docs/methods/index.md"):
        rows = [line for line in SITE[page].splitlines() if line.startswith("|")]
        assert any(f"`{method}`" in row for row in rows), page


def test_the_readme_has_every_task():
    tasks = {name.rpartition("_")[0] for name in EXPERIMENTS}
    said = SITE["README.md"]
    short = {task for task in tasks if f"`{task}`" not in said}
    assert all(f"`_{task.partition('_')[2]}`" in said.replace(", ", "`, `") for task in short)


def test_every_option_of_a_method_is_explained():
    for method in METHODS:
        for table in (generated.MAKERS["hparams"](method), generated.MAKERS["choices"](method)):
            for row in table.splitlines()[2:]:
                assert re.fullmatch(r"\| `--\S+` \| `[^`]+` \| .*\w.* \|", row), row
