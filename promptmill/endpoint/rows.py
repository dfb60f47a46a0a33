"""A row on its way to a server and back, and the decision to give one up."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from promptmill.endpoint.faults import Busy, Fault, Unreachable
from promptmill.endpoint.servers import Server
from promptmill.endpoint.waits import Waits
from promptmill.engine.contract import Completion, Request

MOST_TRIES = 5
"""How often a row is asked for that the server fails at while it works for others."""


@dataclass(eq=False)
class Row:
    """One request and how often it failed.

    Attributes:
        tries: failures that are its own: after each the server worked for others before this row was tried again.
        failures: all of them; the more, the later it is tried again.
        seconds: from the moment it was sent last to its answer.
    """

    request: Request
    tries: int = 0
    failures: int = 0
    seconds: float = 0.0
    _doubt: tuple[Server, float] | None = None

    def failed(self, fault: Fault, server: Server, now: float) -> None:
        """Note a failure; one of being busy or out of reach is never the row's."""
        self.failures += 1
        self._doubt = None if isinstance(fault, Busy | Unreachable) else (server, now)

    @property
    def spent(self) -> bool:
        """Whether the last failure would be one too many, if it is the row's own."""
        return self._doubt is not None and self.tries + 1 >= MOST_TRIES

    def ready(self, server: Server) -> bool:
        """Whether it may be sent there: not before that server is seen to work, if it failed there."""
        return self._doubt is None or self._doubt[0] is not server or server.worked_since(self._doubt[1])

    def send(self) -> None:
        """It is tried again: the failure before counts if its server has worked since."""
        if self._doubt is not None and self._doubt[0].worked_since(self._doubt[1]):
            self.tries += 1
        self._doubt = None

    def complete(self, completion: Completion) -> Completion:
        """Its completion, with the time that it took."""
        return replace(completion, seconds=self.seconds)

    def refuse(self, error: str) -> Completion:
        """The row as one that can't be generated."""
        return Completion(self.request.position, "", "error", None, 0, error, seconds=self.seconds)


class Waiting:
    """Rows that are tried again, each after a while."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._heap: list[tuple[float, int, Row]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, row: Row, now: float) -> None:
        """Try it again, the later the more often it failed; not all at the same moment."""
        failed = min(row.failures, 10)
        wait = random.uniform(0.25, 0.5) * min(self._waits.longest_try, self._waits.first_try * 2**failed)
        heapq.heappush(self._heap, (now + wait, next(self._order), row))

    def due(self, now: float) -> bool:
        """Whether there is a row whose time has come."""
        return bool(self._heap) and self._heap[0][0] <= now

    def next(self, now: float, server: Server) -> Row | None:
        """A row whose time has come, and that may be sent to this server."""
        passed: list[tuple[float, int, Row]] = []
        try:
            while self.due(now):
                entry = heapq.heappop(self._heap)
                if entry[2].ready(server):
                    return entry[2]
                passed.append(entry)
            return None
        finally:
            for entry in passed:
                heapq.heappush(self._heap, entry)


class Doubts:
    """Rows that failed for good, held until a server is seen to work: only then was it the rows' fault."""

    def __init__(self) -> None:
        self._held: list[tuple[float, Row, str]] = []
        self._worked = float("-inf")

    def __len__(self) -> int:
        return len(self._held)

    def add(self, row: Row, error: str, *, since: float) -> None:
        """Give the row up once a request that was sent after `since` is seen to have worked."""
        self._held.append((since, row, error))

    def worked(self, sent: float) -> None:
        """A request that was sent then brought a completion."""
        self._worked = max(self._worked, sent)

    def settled(self) -> Iterator[Completion]:
        """What became of the rows that are in no doubt any more."""
        held, self._held = self._held, []
        for since, row, error in held:
            if since < self._worked:
                yield row.refuse(error)
            else:
                self._held.append((since, row, error))
