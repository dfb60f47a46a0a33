"""HTTP to a server: one request, and what may come of it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from promptmill.endpoint import wire
from promptmill.endpoint.connections import Lanes
from promptmill.endpoint.faults import Broken, Busy, Cut, Refused, Slow, Unreachable
from promptmill.endpoint.record import About, Api
from promptmill.errors import AccessDenied, NotFound

if TYPE_CHECKING:
    import httpx2

_LIST_SECONDS = 20.0
_REFUSED = (400, 413, 422)
_DENIED = (401, 402, 403)
_MISSING = (404, 405, 501)
_BUSY = (429, 503, 529)
# `transformers serve` answers 500 where there is no cache of the Hub's to list.
_NO_LIST = (*_REFUSED, *_MISSING, 500)


class Client:
    """Connections to the servers of one process; to be closed in the end.

    Args:
        model: the name that the servers know it by.
        timeout: seconds that a request may take in all.
    """

    def __init__(self, model: str, key: str | None, timeout: float) -> None:
        self._model = model
        self._key = key
        self._timeout = timeout
        self._lanes = Lanes(key)

    async def close(self) -> None:
        """Close all connections."""
        await self._lanes.close()

    async def complete(self, base: str, api: Api, body: bytes, *, most: int) -> wire.Answer:
        """Ask for one completion.

        Raises:
            Fault: there is none this time.
            AccessDenied, NotFound: there will be none at all.
        """
        response = await self._send("POST", f"{base}/{wire.PATHS[api]}", self._timeout, body)
        if response.status_code == 200:
            return wire.answer_of(response.content, most=most)
        if response.status_code in _MISSING:
            raise await self._missing(base, api, response)
        raise self._fault(base, response)

    async def about(self, base: str) -> About:
        """What the server says of the model; nothing if it has no list of models.

        Raises:
            Fault: it gives no answer.
            AccessDenied: it does not know us.
        """
        response = await self._list(base)
        return wire.about(response.content, self._model) if response.status_code == 200 else {}

    async def _list(self, base: str) -> httpx2.Response:
        response = await self._send("GET", f"{base}/models", _LIST_SECONDS, None)
        if response.status_code in (200, *_NO_LIST):
            return response
        raise self._fault(base, response)

    async def _send(self, method: str, url: str, seconds: float, body: bytes | None) -> httpx2.Response:
        import httpx2

        # The list is asked for when something went wrong. Servers that fail at it close the connection after their
        # answer, and the next request on it would break too.
        headers = {"Connection": "close"} if method == "GET" else None
        try:
            async with self._lanes.lane() as http:
                return await asyncio.wait_for(http.request(method, url, content=body, headers=headers), seconds)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise Unreachable(f"no connection to {url} ({_words(error)})") from error
        except (asyncio.TimeoutError, httpx2.TimeoutException) as error:
            raise Slow(f"no answer within {seconds:g} s") from error
        except httpx2.HTTPError as error:
            raise Cut(f"the connection broke ({_words(error)})") from error

    def _fault(self, base: str, response: httpx2.Response) -> Exception:
        status, says = response.status_code, self._said(response)
        if status in _REFUSED:
            return Refused(f"the server refuses it (HTTP {status}): {says}")
        if status in _BUSY:
            return Busy(f"HTTP {status}: {says}", _seconds(response.headers.get("Retry-After")))
        if status in _DENIED:
            return AccessDenied(
                f"The server at {base} says no (HTTP {status}): {says}. Name the environment variable that holds "
                "your key with --endpoint-key-env, and look that the key is right."
            )
        return Broken(f"HTTP {status}: {says}")

    async def _missing(self, base: str, api: Api, response: httpx2.Response) -> NotFound:
        found = wire.names((await self._list(base)).content)
        has = f"It has: {', '.join(found[:20])}." if found else "It does not say which it has."
        other = "completions" if api == "chat" else "chat"
        return NotFound(
            f"The server at {base} has no model {self._model!r} at /{wire.PATHS[api]} (HTTP {response.status_code}: "
            f"{self._said(response)}). {has} Choose one with --model; or the other way to ask, --endpoint-api {other}."
        )

    def _said(self, response: httpx2.Response) -> str:
        says = wire.message_of(response.content).rstrip(".")
        # Some servers repeat a wrong key.
        return says.replace(self._key, "…") if self._key else says


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _seconds(header: str | None) -> float | None:
    """`Retry-After`: a number of seconds, or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError):
        return None
