"""Bounds on one piece of work in this process: processor time and memory."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STATM = "/proc/self/statm"
_HARD = 3


class TimeLimitError(Exception):
    """The work took more processor time than it was given."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeLimitError` in the block after so many seconds of processor time.

    Python raises it between two of its steps. One step that takes far longer (comparing lists in lists that share
    their parts doubles with each level) is ended by the kernel after three times as long, and the process with it:
    "Profiling timer expired". Only in the main thread, as signals reach no other; elsewhere there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(signum: int, frame: FrameType | None) -> None:
        raise TimeLimitError

    before = signal.signal(signal.SIGVTALRM, expire)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    signal.setitimer(signal.ITIMER_PROF, _HARD * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def memory_limit(more: int) -> Iterator[None]:
    """Make allocations in the block fail with `MemoryError` once they need `more` bytes; on Linux only."""
    used = _used_memory()
    if used is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [limit for limit in (soft, hard, used + more) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _used_memory() -> int | None:
    try:
        descriptor = os.open(_STATM, os.O_RDONLY)
    except OSError:
        return None
    try:
        return int(os.read(descriptor, 64).split()[0]) * resource.getpagesize()
    finally:
        os.close(descriptor)
