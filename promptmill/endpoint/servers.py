"""The servers: how many requests each bears at a time, and which of them gets the next one."""

from __future__ import annotations

import random
from collections.abc import Collection

from promptmill.endpoint.waits import USUAL, Waits

START = 8
_SUSPECT = 8
"""Failures without a completion in between, after which rows wait until something short and plain has worked."""


class Limit:
    """How many requests at a time: doubled until the first trouble, then one more a round, and halved at trouble.

    As TCP does it (RFC 5681): slow start, additive increase, multiplicative decrease, at most once for all that
    was under way together.

    Args:
        most: never more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = float(min(START, most))
        self._doubling = True
        self._cut_at = float("-inf")

    @property
    def size(self) -> int:
        """Requests at a time."""
        return int(self._size)

    def worked(self, in_flight: int) -> None:
        """A request brought a completion while so many were under way: if that is all that may be, allow more."""
        if in_flight >= self.size:
            self._size = min(float(self._most), self._size + (1 if self._doubling else 1 / self._size))

    def too_much(self, sent: float, now: float) -> None:
        """A request that was sent then was too much: halve, unless that was done since."""
        self._doubling = False
        if sent >= self._cut_at:
            self._size, self._cut_at = max(1.0, self._size / 2), now

    def restart(self) -> None:
        """The server is not there: when it is back it is tried with one request."""
        self._size, self._doubling = 1.0, True


class Server:
    """One server as this process sees it."""

    def __init__(self, base: str, most: int, waits: Waits = USUAL) -> None:
        self.base = base
        self._waits = waits
        self.limit = Limit(most)
        self.in_flight = 0
        self.greeted = False
        """Whether it was asked which model it has, since it may last have been started."""
        self.greeting = False
        self.trying = False
        """Whether something short and plain is under way, to see if it works."""
        self.greeted_at = float("-inf")
        self.made = 0
        """Completions since it was greeted last."""
        self._worked_at = float("-inf")
        self._failures = 0
        self._rests_until = self._asked_until = float("-inf")
        self._rests = 0

    @property
    def suspect(self) -> bool:
        """Whether it fails at everything: then rows wait, and one trial at a time is sent."""
        return self._failures >= _SUSPECT

    def worked_since(self, moment: float) -> bool:
        """Whether a request that was sent after this moment brought a completion."""
        return self._worked_at > moment

    def room(self, now: float) -> int:
        """How many more requests it takes; one that was not greeted takes the greeting alone, a suspect one a trial."""
        if now < self._rests_until:
            return 0
        if not self.greeted:
            return int(not self.greeting)
        return int(not self.trying) if self.suspect else self.limit.size - self.in_flight

    def rest(self, now: float, seconds: float | None = None) -> None:
        """Leave it alone for so long; by default longer each time, until it works."""
        self._rests += 1
        own = random.uniform(0.5, 1) * min(self._waits.longest_rest, self._waits.first_rest * 2 ** min(self._rests, 10))
        self._rests_until = max(self._rests_until, now + (own if seconds is None else seconds))

    def asks(self, now: float) -> float:
        """For how many more seconds it asks to be left alone; 0 if it does not."""
        return max(0.0, self._asked_until - now)

    def busy(self, now: float, retry_after: float | None) -> None:
        """It has too much to do: leave it alone as long as it asks; of itself only if it bears not even one."""
        if retry_after is not None:
            self._asked_until = max(self._asked_until, now + retry_after)
        if retry_after is not None or self.limit.size == 1:
            self.rest(now, retry_after)

    def lost(self, now: float) -> None:
        """It is out of reach."""
        self.greeted = False
        self.limit.restart()
        self.rest(now)

    def greet(self, now: float) -> None:
        """It was asked which model it has, and it is the run's."""
        self.greeted, self.greeted_at, self.made = True, now, 0

    def failed(self) -> None:
        """It gave no completion, which may be its own fault or that of the row."""
        self._failures += 1

    def worked(self, sent: float) -> None:
        """A request that was sent then brought a completion."""
        self._worked_at = max(self._worked_at, sent)
        self.made += 1
        self._rests = self._failures = 0
        self.limit.worked(self.in_flight)


class Servers:
    """All of them; those that answer share the requests."""

    def __init__(self, bases: tuple[str, ...], most: int, waits: Waits = USUAL) -> None:
        self._most = most
        self._waits = waits
        self._all = {base: Server(base, most, waits) for base in bases}

    def next(self, now: float, but: Collection[Server] = ()) -> Server | None:
        """The one that has most room, but for these; None if none has any."""
        others = [server for server in self._all.values() if server not in but]
        best = max(others, key=lambda server: server.room(now), default=None)
        return best if best is not None and best.room(now) > 0 else None

    @property
    def all(self) -> tuple[Server, ...]:
        """Each of them."""
        return tuple(self._all.values())

    def asks(self, now: float) -> float:
        """For how many more seconds all of them ask to be left alone; 0 if one does not."""
        return min((server.asks(now) for server in self._all.values()), default=0.0)

    def now_at(self, bases: tuple[str, ...]) -> None:
        """Go on with these: what is known of a server that stays is kept."""
        self._all = {base: self._all.get(base) or Server(base, self._most, self._waits) for base in bases}

    def begin(self) -> None:
        """Nothing is under way yet."""
        for server in self._all.values():
            server.in_flight, server.greeting, server.trying = 0, False, False
