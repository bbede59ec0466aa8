"""Holding Python's cyclic garbage collector off while much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """In the with-block, the collector does not run, unless it is asked to.

    The passes make some hundred objects an operation, all of which live until the plan is there: the collector would
    go through all of them time and again, a fifth of the time of a large graph, and free nothing.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
