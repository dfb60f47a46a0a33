"""The end of a job's time: known beforehand, and used to the last minute."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import FrameType
from typing import Any

from promptmill.clock import steady_time
from promptmill.slurm.commands import jobs
from promptmill.slurm.environment import here
from promptmill.slurm.errors import SlurmRefused, SlurmUnavailable
from promptmill.stopping import StopRequest

logger = logging.getLogger(__name__)

# Slurm sends the signal up to 60 s early (sbatch(1), --signal), and looks at limits every 30 s.
SIGNAL_SECONDS = 180
_SLACK = 75.0
_RESERVE = 45.0


@dataclass(frozen=True)
class Walltime:
    """When the job's time is up.

    Attributes:
        end: seconds since 1970; None if unlimited or not told.
        limit: whole length of the job in seconds; None likewise.
    """

    end: float | None = None
    limit: float | None = None

    @property
    def stop_at(self) -> float | None:
        """When to stop working: late enough to use the time, early enough to commit what is done."""
        return None if self.end is None else self.end - min(_RESERVE, (self.limit or 3600.0) / 8)

    def left(self) -> float:
        """Seconds of work left."""
        return float("inf") if self.stop_at is None else self.stop_at - steady_time()

    def is_near(self) -> bool:
        """Whether a signal at this moment announces the walltime, and not a preemption."""
        if self.end is None:
            return False
        return steady_time() >= self.end - signal_seconds(self.limit) - _SLACK


def signal_seconds(limit: float | None) -> int:
    """How long before the walltime the signal is asked for: 180 s, or a quarter of a short job."""
    return SIGNAL_SECONDS if limit is None else max(1, min(SIGNAL_SECONDS, int(limit / 4)))


def walltime_of(job: str) -> Walltime:
    """What Slurm says about a running job; an unknown walltime if it does not answer."""
    try:
        ends = [found.end for found in jobs(ids=[job]) if found.id == job and found.end is not None]
    except (SlurmUnavailable, SlurmRefused) as error:
        logger.warning("The end of the walltime is not known, so the signal alone will tell: %s", error)
        return Walltime()
    if not ends:
        return Walltime()
    end = ends[0].timestamp()
    return Walltime(end, max(0.0, end - steady_time()))


class TimedStop(StopRequest):
    """Says stop when told to by a signal, or when the walltime leaves just the time to commit.

    SIGUSR2 near the walltime is no more than an announcement then: rows that finish in the minutes
    that are left count too. At any other time it is a preemption, and is obeyed at once.
    """

    def __init__(self, told: StopRequest, walltime: Walltime) -> None:
        super().__init__()
        self._told = told
        self._walltime = walltime

    @property
    def requested(self) -> bool:
        """Whether to stop now."""
        return self.told or self._walltime.left() <= 0

    @property
    def told(self) -> bool:
        """Whether a signal said so."""
        return self._told.requested

    def time_for(self, seconds: float) -> bool:
        """Whether a row of so many seconds can be finished before the walltime."""
        return self._walltime.left() > seconds

    @contextmanager
    def draining(self) -> Iterator[None]:
        """As the stop request that hears the signals."""
        with self._told.draining():
            yield

    @contextmanager
    def hearing_user_signal(self) -> Iterator[None]:
        """Inside the block SIGUSR2 is judged by the walltime."""
        before: Any = signal.getsignal(signal.SIGUSR2)

        def heard(number: int, frame: FrameType | None) -> None:
            if not self._walltime.is_near() and callable(before):
                before(number, frame)

        signal.signal(signal.SIGUSR2, heard)
        try:
            yield
        finally:
            signal.signal(signal.SIGUSR2, before)


@contextmanager
def stop_in_time(told: StopRequest) -> Iterator[StopRequest]:
    """The stop request to look at in this process: inside a Slurm job, one that uses its walltime to the end."""
    place = here()
    if place is None:
        yield told
        return
    timed = TimedStop(told, _own_walltime(place.job))
    with timed.hearing_user_signal():
        yield timed


@lru_cache(maxsize=1)
def _own_walltime(job: str) -> Walltime:
    return walltime_of(job)
