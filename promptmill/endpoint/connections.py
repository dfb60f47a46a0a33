"""Connections to servers, one a request under way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 5.0
# Servers close a connection that is idle for 5 s and more; ours are given up before.
_IDLE_SECONDS = 4.0


class Lanes:
    """HTTP clients, each used by one request at a time; the one that was used last is used next.

    A client's own pool looks at every idle connection at each request: with 64 requests at a time that took as long
    as all the rest (`benchmarks/endpoint.py`).
    """

    def __init__(self, key: str | None) -> None:
        import httpx2

        self._headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        # Loading the certificates takes longer than a request.
        self._certificates = httpx2.create_ssl_context()
        self._all: list[httpx2.AsyncClient] = []
        self._free: list[httpx2.AsyncClient] = []

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[httpx2.AsyncClient]:
        """A client that nobody else uses meanwhile."""
        client = self._free.pop() if self._free else self._new()
        try:
            yield client
        finally:
            self._free.append(client)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._all:
            await client.aclose()

    def _new(self) -> httpx2.AsyncClient:
        import httpx2

        client = httpx2.AsyncClient(
            headers=self._headers,
            verify=self._certificates,
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(keepalive_expiry=_IDLE_SECONDS),
        )
        self._all.append(client)
        return client
