"""How long the Hub is given: deadlines, pauses between tries, and when to give up."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Patience:
    """How long an operation may take the Hub's failures.

    Attributes:
        total_seconds: without anything achieved, after which the operation gives up.
        request_seconds: of silence, after which a request counts as failed.
        connect_tries: how often a Hub that nobody reaches is tried; None: until the time is up.
    """

    total_seconds: float
    request_seconds: float = 60.0
    connect_tries: int | None = None


CHECKING = Patience(total_seconds=90, request_seconds=20, connect_tries=3)
LOOKING = Patience(total_seconds=30, request_seconds=10, connect_tries=2)
DOWNLOADING = Patience(total_seconds=900, connect_tries=5)
PUBLISHING = Patience(total_seconds=3600)


class GaveUp(Exception):
    """The patience is used up; the text says after how many tries, and what came last."""


class Budget:
    """What is left of a patience. Shared by the threads of one operation.

    Args:
        clock: seconds that only grow.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        patience: Patience,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.patience = patience
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._since = clock()
        self.tries_again = 0

    @property
    def left(self) -> float:
        """Seconds until the operation gives up."""
        with self._lock:
            return self._since + self.patience.total_seconds - self._clock()

    def achieved(self) -> None:
        """Something got done (a file arrived, a commit was made): the time counts from here."""
        with self._lock:
            self._since = self._clock()

    def pause(self, what: str, why: str, tries: int, *, at_least: float | None = None, most: int | None = None) -> None:
        """Wait before `what` is tried again.

        Args:
            tries: how many there were.
            at_least: seconds that the Hub asks to wait (Retry-After).
            most: tries after which there is no other.

        Raises:
            GaveUp: there is no time for another try, or there were enough.
        """
        pause = max(at_least or 0.0, _pause(tries))
        if pause >= self.left or (most is not None and tries >= most):
            raise GaveUp(f"{why}, {tries} {'try' if tries == 1 else 'tries'}")
        logger.warning("%s: %s; trying again in %.1f s.", what, why, pause)
        self.tries_again += 1
        self._sleep(pause)


def _pause(tries: int) -> float:
    """Twice as long each time, and never the same for two processes that failed together."""
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(tries - 1, 10))
    return longest * random.uniform(0.5, 1.0)


def seconds_of(text: str) -> float:
    """A time as people write it: 12h, 30m, 90s, 1d, or a number of seconds.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if found is None:
        raise ValueError(text)
    return float(found[1]) * _UNITS[found[2]]
