"""Rows out, completions in: what is sent when, and what becomes of each answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from promptmill.endpoint.asking import Asking
from promptmill.endpoint.faults import Busy, Cut, Fault, Refused, Slow, Unreachable
from promptmill.endpoint.patience import Trouble
from promptmill.endpoint.record import About, require_same_model
from promptmill.endpoint.rows import MOST_TRIES, Doubts, Row, Waiting
from promptmill.endpoint.servers import Server, Servers
from promptmill.endpoint.waits import USUAL, Waits
from promptmill.engine.contract import Completion, Request
from promptmill.errors import EngineError
from promptmill.progress import duration

logger = logging.getLogger(__name__)

_EVER = float("-inf")


@dataclass(frozen=True)
class _Sent:
    """A request under way; `done` is called with what came of it."""

    server: Server
    at: float
    done: Callable[[_Sent, Any], None]


class Flow:
    """What is under way, and what waits.

    Args:
        rows: taken one by one, as servers have room.
        asking: how a row, or a trial, is sent.
        about: what the run's server said of its model.
    """

    def __init__(
        self,
        rows: Iterator[Request],
        servers: Servers,
        asking: Asking,
        about: About,
        trouble: Trouble,
        waits: Waits = USUAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._new = rows
        self._servers = servers
        self._asking = asking
        self._about = about
        self._trouble = trouble
        self._clock = clock
        self._next: Row | None = None
        self._waits = waits
        self._waiting = Waiting(waits)
        self._doubts = Doubts()
        self._trying = 0
        self._sent: dict[asyncio.Task[Any], _Sent] = {}
        self._arrived: list[asyncio.Task[Any]] = []
        self._finished: list[Completion] = []
        self._bell = asyncio.Event()
        self._look_ahead()

    @property
    def open(self) -> bool:
        """Whether there are rows that are not finished."""
        return bool(self._next or self._sent or self._waiting or self._doubts)

    @property
    def under_way(self) -> bool:
        """Whether requests are."""
        return bool(self._sent)

    def take(self) -> list[Completion]:
        """What has finished since the last time."""
        finished, self._finished = self._finished, []
        return finished

    async def step(self, seconds: float, *, begin: bool) -> None:
        """Send what there is room for, and wait for answers, so long at most.

        Args:
            begin: whether rows may be begun.

        Raises:
            ServerGone: patience has come to an end.
            EngineError, AccessDenied, NotFound, ConfigurationError: there is no use in going on.
        """
        self._send(begin=begin)
        alarm = asyncio.get_running_loop().call_later(seconds, self._bell.set)
        await self._bell.wait()
        alarm.cancel()
        self._bell.clear()
        arrived, self._arrived = self._arrived, []
        # All of them before an error is raised: what has finished counts.
        errors = [error for task in arrived if (error := self._settle(task)) is not None]
        self._finished += self._doubts.settled()
        if errors:
            raise errors[0]
        self._trouble.require_patience(sent.at for sent in self._sent.values())
        if not self._sent:
            self._trouble.require_patience_for(self._servers.asks(self._clock()))

    async def farewell(self) -> None:
        """Ask the servers which model they have, now that all rows are made; silence is no other model.

        Raises:
            ConfigurationError: it is another.
        """
        for server in self._servers.all:
            if server.made:
                with suppress(Fault):
                    self._require_same_model(server, await self._asking.about(server.base))

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._sent:
            task.cancel()
        await asyncio.gather(*self._sent, return_exceptions=True)

    def _send(self, *, begin: bool) -> None:
        now = self._clock()
        idle: list[Server] = []
        while (server := self._servers.next(now, but=idle)) is not None:
            if not self._send_to(server, now, begin=begin):
                idle.append(server)

    def _send_to(self, server: Server, now: float, *, begin: bool) -> bool:
        """Send this server what is next; False if there is nothing for it."""
        if not server.greeted:
            if begin:
                server.greeting = True
                self._start(server, self._asking.about(server.base), self._greeted)
            return begin
        if begin and now - server.greeted_at > self._waits.again and not server.greeting:
            server.greeting = True
            self._start(server, self._asking.about(server.base), self._greeted_again)
            return True
        if server.suspect:
            return begin and self._try(server)
        if self._doubts and not self._trying:
            return self._try(server)
        if not begin:
            return False
        if (row := self._waiting.next(now, server) or self._look_ahead()) is not None:
            self._start_row(server, row)
            return True
        # A row that failed waits to know if it was its own fault, and no other row is there to tell.
        return self._waiting.due(now) and self._try(server)

    def _try(self, server: Server) -> bool:
        """Send something short and plain, one at a time; False if one is under way."""
        if server.trying:
            return False
        server.trying = True
        self._trying += 1
        self._start(server, self._asking.trial(server.base), self._tried)
        return True

    def _look_ahead(self) -> Row | None:
        """The row whose turn it is; one more is taken in its place, so that the end is known."""
        row, request = self._next, next(self._new, None)
        self._next = None if request is None else Row(request)
        return row

    def _start_row(self, server: Server, row: Row) -> None:
        row.send()
        self._start(server, self._asking.row(server.base, row.request), lambda sent, came: self._came(row, sent, came))

    def _start(self, server: Server, work: Coroutine[Any, Any, Any], done: Callable[[_Sent, Any], None]) -> None:
        server.in_flight += 1
        task = asyncio.ensure_future(work)
        self._sent[task] = _Sent(server, self._clock(), done)
        task.add_done_callback(self._ring)

    def _ring(self, task: asyncio.Task[Any]) -> None:
        self._arrived.append(task)
        self._bell.set()

    def _settle(self, task: asyncio.Task[Any]) -> BaseException | None:
        """Do what is to be done about an answer; returns the error that ends everything."""
        sent = self._sent.pop(task)
        error = task.exception()
        try:
            if error is not None and not isinstance(error, Fault):
                return error
            sent.done(sent, error or task.result())
        except Exception as found:
            return found
        finally:
            sent.server.in_flight -= 1
        return None

    def _greeted(self, sent: _Sent, came: Fault | About) -> None:
        sent.server.greeting = False
        if isinstance(came, Fault):
            self._note(sent, came)
            sent.server.rest(self._clock())
        else:
            self._require_same_model(sent.server, came)

    def _greeted_again(self, sent: _Sent, came: Fault | About) -> None:
        """It works meanwhile: a list that it does not show is no fault."""
        sent.server.greeting = False
        self._require_same_model(sent.server, {} if isinstance(came, Fault) else came)

    def _require_same_model(self, server: Server, now: About) -> None:
        require_same_model(server.base, self._about, now, made=server.made)
        server.greet(self._clock())

    def _tried(self, sent: _Sent, came: object) -> None:
        sent.server.trying = False
        self._trying -= 1
        if isinstance(came, Refused):
            raise EngineError(f"The server at {sent.server.base} refuses even a short, plain request: {came}")
        if isinstance(came, Fault):
            self._note(sent, came)
            sent.server.rest(self._clock())
        else:
            self._worked(sent)

    def _came(self, row: Row, sent: _Sent, came: Fault | Completion) -> None:
        now = self._clock()
        row.seconds = now - sent.at
        if isinstance(came, Completion):
            self._worked(sent)
            self._finished.append(row.complete(came))
        elif isinstance(came, Refused):
            self._doubts.add(row, f"{came}", since=_EVER)
        else:
            self._note(sent, came)
            row.failed(came, sent.server, now)
            if row.spent:
                self._doubts.add(row, f"{came} (tried {MOST_TRIES} times)", since=now)
            else:
                self._waiting.add(row, now)

    def _worked(self, sent: _Sent) -> None:
        self._trouble.over()
        self._doubts.worked(sent.at)
        sent.server.worked(sent.at)

    def _note(self, sent: _Sent, fault: Fault) -> None:
        """What a fault says about the server."""
        self._trouble.note(fault)
        server, now = sent.server, self._clock()
        if isinstance(fault, Unreachable):
            server.lost(now)
        elif isinstance(fault, Cut):
            server.greeted = False
        elif isinstance(fault, Busy | Slow):
            server.limit.too_much(sent.at, now)
        if isinstance(fault, Busy):
            if (fault.retry_after or 0.0) > server.asks(now) + self._waits.word:
                logger.warning(
                    "The server at %s asks to be left alone for %s (%s).",
                    server.base, duration(fault.retry_after or 0.0), fault,
                )  # fmt: skip
            server.busy(now, fault.retry_after)
        elif not isinstance(fault, Unreachable):
            server.failed()
