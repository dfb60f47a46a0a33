"""Requests and answers, and what is kept of them in the log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.hub.content import Content
from tests.hub.effects import Effect


@dataclass
class LoggedRequest:
    """One request as the server saw it; a request under way is in the log already, with `status` None."""

    time: float  # seconds since the epoch
    origin: str  # hub, cdn or cas
    method: str
    path: str  # with the query
    authorization: str | None
    received: int = 0  # bytes of the request's body
    sent: int = 0  # bytes of the answer's body
    content: int = 0  # those of `received` that are content of files
    status: int | None = None  # None: not answered (yet), or cut off before the answer
    fault: Effect | None = None


def carries_content(log: LoggedRequest) -> bool:
    """Whether the request's body is content of files, as it is in LFS objects and in xorbs."""
    return (log.origin == "cdn" and log.method == "PUT") or (log.origin == "cas" and "/v1/xorbs/" in log.path)


@dataclass(frozen=True)
class Request:
    """What a handler is given: the path stays quoted (revisions contain slashes), the body is complete."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]  # names in lower case
    body: bytes
    log: LoggedRequest

    def json(self) -> Any:
        """The body, read as JSON; an empty object if there is none."""
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        """Whether the query sets a switch."""
        return self.query.get(name, ["false"])[0].lower() in ("true", "1")


@dataclass
class Response:
    """An answer: `content[start:stop]` if there is any, else `body`."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content: Content | None = None
    start: int = 0
    stop: int = 0

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return len(self.body) if self.content is None else self.stop - self.start

    def pieces(self) -> Iterator[bytes]:
        """The body, bit by bit."""
        if self.content is not None:
            return self.content.pieces(self.start, self.stop)
        return Content(self.body).pieces(0, len(self.body))


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    head = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return Response(status, json.dumps(value).encode(), head)
