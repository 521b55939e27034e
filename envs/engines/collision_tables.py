"""Collision functions of an engine, replaced by ours while it is traced."""

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def swapped(table: dict, pair: Any, ours: Any, theirs: Any) -> Iterator[None]:
    """Collide a pair of geom types with our function; whoever uses the engine besides keeps
    theirs."""
    table[pair] = ours
    try:
        yield
    finally:
        table[pair] = theirs
