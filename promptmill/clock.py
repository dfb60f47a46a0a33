"""The time of day, as a process may compare it with itself: it runs on whatever is done to the clock."""

from __future__ import annotations

import time
from functools import cache

# Goes on while a laptop sleeps, which `time.monotonic` does not; Linux has it, others may not.
_RUNNING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_time() -> float:
    """Seconds since 1970: as the clock said when this process asked first, and the time since then.

    A clock that is set back or forward in between, by an hour or by a year, changes no difference of two
    of these. Compare it with times of other machines or of files only where being wrong does no harm.
    """
    return _offset() + time.clock_gettime(_RUNNING)


@cache
def _offset() -> float:
    return time.time() - time.clock_gettime(_RUNNING)
