"""A child of `--workers N` ends when its parent does, however that ended: nothing is left that holds a GPU."""

from __future__ import annotations

import ctypes
import functools
import logging
import multiprocessing
import os
import signal
from typing import Any

from promptmill.errors import Interrupted

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel tell this process to stop once its parent is gone; in a process that is no child, nothing.

    It stops as after any SIGTERM: what has finished is committed. Elsewhere than on Linux the children of a
    parent that was killed generate to the end of their shards.

    Raises:
        Interrupted: the parent is gone already.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        _end_with(parent, os.getpid())


@functools.cache
def _end_with(parent: Any, _own: int) -> None:
    """Once a process, also in one that was forked."""
    try:
        failed = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    except AttributeError:  # no prctl: no Linux
        return
    if failed:
        logger.warning("This process will not hear of its parent's end: %s.", os.strerror(ctypes.get_errno()))
    elif not parent.is_alive():
        raise Interrupted("The process that started this one is gone. Start the same command again to go on.")
