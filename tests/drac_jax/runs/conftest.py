"""Runs that several tests look at; what changes one takes a copy."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.commands import TINY, command, only_run_in


class Finished(NamedTuple):
    """A run that nobody disturbed: its folder, and what it said."""

    folder: Path
    said: str


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Finished:
    runs = tmp_path_factory.mktemp("finished")
    outcome = command(*TINY, "--runs-dir", runs)
    assert outcome.code == 0, outcome.said
    return Finished(only_run_in(runs), outcome.said)
