"""On a CPU, memory that tensors have left is kept for the next ones.

The C library maps each block of more than some hundred kilobytes anew, and the kernel clears its pages when they are
touched. A forward pass does that for every activation: measured with the demo model, matrix products of a pass
over prompts took twice as long, those of the output layer half as long again.
"""

from __future__ import annotations

import ctypes
import functools
import logging

logger = logging.getLogger(__name__)

# malloc.h
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_LARGEST = 2**31 - 1
_THRESHOLDS = (2**30, 2**25)
"""The first that the C library takes: glibc before 2.35 allows 32 MiB at most."""


@functools.cache
def keep_freed_memory() -> bool:
    """Have the C library reuse large blocks instead of mapping them anew; False where it knows no such setting.

    For the whole process, once; what it keeps is bounded by the most that was in use at a time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # not glibc
    kept = any(mallopt(_MMAP_THRESHOLD, size) for size in _THRESHOLDS) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST))
    logger.debug("Freed memory is %s.", "kept for reuse" if kept else "given back, as the C library likes")
    return kept
