"""What all tests share: programs that one of them compiled are not compiled again."""

import os
import tempfile

import pytest

FOLDER = pytest.StashKey[tempfile.TemporaryDirectory]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled programs for this session, for its workers and the commands that they start.

    JAX looks at its environment when it is imported, which no plugin does.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        config.stash[FOLDER] = tempfile.TemporaryDirectory(prefix="drac_jax_tests_")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = config.stash[FOLDER].name
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.02")


def pytest_unconfigure(config: pytest.Config) -> None:
    if FOLDER in config.stash:
        config.stash[FOLDER].cleanup()
