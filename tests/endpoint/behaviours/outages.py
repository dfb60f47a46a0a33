"""Servers that are away for a while, or ask to be left alone."""

from __future__ import annotations

from dataclasses import dataclass

from tests.endpoint.server import Asked, Reply


@dataclass
class BackendRestarts:
    """A gateway (nginx, Envoy, an ingress) answers 502 with a page while its backend restarts.

    Attributes:
        after: requests that it answers before.
        long: requests that get the page.
    """

    long: int
    after: int = 0
    status: int = 502

    def __call__(self, asked: Asked) -> Reply | None:
        """The page, for so many requests."""
        page = b"<html><head><title>502 Bad Gateway</title></head><body><hr>nginx</body></html>"
        away = self.after < asked.number <= self.after + self.long
        return Reply(self.status, page, {"Content-Type": "text/html"}) if away else None


@dataclass
class LeaveMeAlone:
    """A provider whose limit is one of the day: 429, and Retry-After says when the next one begins.

    Attributes:
        seconds: Retry-After.
        after: requests that it answers before.
        times: so many requests are turned away.
    """

    seconds: float | str
    after: int = 0
    times: int = 1_000_000

    def __call__(self, asked: Asked) -> Reply | None:
        """429 once the limit is reached."""
        if not self.after < asked.number <= self.after + self.times:
            return None
        return Reply(429, b'{"error": {"message": "daily limit"}}', {"Retry-After": str(self.seconds)})


@dataclass
class BadDay:
    """An outage and a rate limit, one after the other, as a day with a busy gateway has them.

    Attributes:
        outage, limit: the rows' requests that get 502 with a page, and 429 with Retry-After.
    """

    outage: range
    limit: range
    rows: int = 0

    def __call__(self, asked: Asked) -> Reply | None:
        """By the number of the row's request; a trial fails with the outage."""
        self.rows += "lighthouse" not in asked.text or self.rows in self.outage
        if self.rows in self.outage:
            return Reply(502, b"<html><h1>502 Bad Gateway</h1></html>", {"Content-Type": "text/html"})
        if self.rows in self.limit:
            return Reply(429, b'{"error": {"message": "slow down"}}', {"Retry-After": "0.3"})
        return None
