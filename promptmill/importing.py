"""Imports of torch and transformers, which are most of what a process does before it generates, made shorter."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from promptmill.read_ahead import libraries_of, read_ahead

_THRESHOLDS = (100_000, 50, 50)
"""Still bounded, should something that allocates much run meanwhile."""


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Look for cyclic garbage seldom, and have torch's libraries read ahead, in a function that imports torch.

    Torch and transformers make hundreds of thousands of objects that stay, which Python looks through again and
    again: measured, a fifth of the 3.7 s that the two take to import.
    """
    if "torch" not in sys.modules:
        read_ahead(libraries_of("torch", "lib/libtorch_cpu.*", "lib/libtorch_python.*"))
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
