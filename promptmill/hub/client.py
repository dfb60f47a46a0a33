"""The HTTP client of huggingface_hub, given deadlines and one policy of trying again.

As it comes, the library waits for ever for an answer of the Hub's API, tries some requests again
and others not, and takes a connection that is reset inside a download for final. Its public
`set_client_factory` lets all of that be settled in one place, whatever function sends the request.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2

from promptmill.hub.patience import Budget, GaveUp
from promptmill.hub.trouble import TRANSIENT, asked_wait, reason

# A body may take the patience of one request, and a second more for each of so many bytes.
_SLOWEST = 1000


class HubClient(httpx2.Client):
    """Sends a request until it is answered or the budget is used up."""

    def __init__(self, budget: Budget, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._budget = budget

    def send(self, request: httpx2.Request, *, stream: bool = False, **kwargs: Any) -> httpx2.Response:
        """Send; failures that pass are waited out where the request may be repeated.

        Raises:
            GaveUp: they did not pass in time.
            httpx2.TransportError: the request may not be repeated by itself (a commit, the content of a file).
        """
        budget = self._budget
        tries = 0
        while True:
            tries += 1
            _limit(request, budget)
            try:
                response = self._once(request, stream, budget.patience.request_seconds, kwargs)
            except httpx2.TransportError as error:
                if not _repeatable(request):
                    raise
                unreachable = isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout))
                most = budget.patience.connect_tries if unreachable else None
                with _from(error):
                    budget.pause(_named(request), reason(error), tries, most=most)
                continue
            if response.status_code not in TRANSIENT:
                return response
            wait = asked_wait(response)
            if wait is not None and wait >= budget.left:
                raise GaveUp(f"HTTP {response.status_code}, and it asks to wait {wait:.0f} s")
            if not _repeatable(request):
                return response
            response.close()
            budget.pause(_named(request), f"HTTP {response.status_code}", tries, at_least=wait)

    def _once(self, request: httpx2.Request, stream: bool, seconds: float, kwargs: dict[str, Any]) -> httpx2.Response:
        response = super().send(request, stream=True, **kwargs)
        if isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = _Body(response.stream, seconds)
        if not stream:
            try:
                response.read()
            except BaseException:
                response.close()
                raise
        return response


class _Body(httpx2.SyncByteStream):
    """An answer's body that must not trickle, and whose breaking off is one kind of error."""

    def __init__(self, stream: httpx2.SyncByteStream, seconds: float) -> None:
        self._stream = stream
        self._seconds = seconds

    def __iter__(self) -> Iterator[bytes]:
        start, received = time.monotonic(), 0
        try:
            for piece in self._stream:
                received += len(piece)
                if time.monotonic() - start > self._seconds + received / _SLOWEST:
                    raise httpx2.ReadTimeout(f"{received} bytes in {time.monotonic() - start:.0f} s")
                yield piece
        except httpx2.ReadError as error:
            # The client goes on with a download that ended early, but takes a reset for final.
            raise httpx2.RemoteProtocolError(f"connection lost after {received} bytes") from error

    def close(self) -> None:
        self._stream.close()


def _limit(request: httpx2.Request, budget: Budget) -> None:
    """Give the request its deadline: never past the end of the operation's time."""
    left = budget.left
    if left <= 0:
        raise GaveUp(f"no success in {budget.patience.total_seconds:.0f} s")
    most = min(budget.patience.request_seconds, left)
    asked = request.extensions.get("timeout") or {}
    limits = {"connect": min(10.0, most), "read": most, "write": most, "pool": most}
    request.extensions["timeout"] = {
        name: limit if asked.get(name) is None else min(limit, asked[name]) for name, limit in limits.items()
    }


def _repeatable(request: httpx2.Request) -> bool:
    """Whether sending it twice does the same as once, and its body can be sent again."""
    commit = request.method == "POST" and "/commit/" in urlsplit(str(request.url)).path
    return not commit and isinstance(request.stream, httpx2.ByteStream)


def _named(request: httpx2.Request) -> str:
    """The request without its query, which may be signed."""
    return f"{request.method} {request.url.host}{request.url.path}"


@contextmanager
def _from(cause: BaseException) -> Iterator[None]:
    try:
        yield
    except GaveUp as error:
        raise error from cause
