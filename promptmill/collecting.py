"""Imports without Python's search for cyclic garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = (100_000, 50, 50)
"""Still bounded, should something that allocates much run meanwhile."""


@contextmanager
def few_collections() -> Iterator[None]:
    """Look for cyclic garbage seldom, for a function that imports torch and transformers.

    They make hundreds of thousands of objects that stay, which Python looks through again and again:
    measured, a fifth of the 3.7 s that the two take to import.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
