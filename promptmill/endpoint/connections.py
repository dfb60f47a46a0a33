"""Connections to servers, one a request under way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from promptmill.endpoint.ways import Proxy
from promptmill.errors import ConfigurationError

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 5.0
# Servers close a connection that is idle for 5 s and more; ours are given up before.
_IDLE_SECONDS = 4.0


class Lanes:
    """HTTP clients, each used by one request at a time; the one that was used last is used next.

    A client's own pool looks at every idle connection at each request: with 64 requests at a time that took as long
    as all the rest (`benchmarks/endpoint.py`).

    Args:
        headers: of every request.

    Raises:
        ConfigurationError: the file of certificates that the environment names cannot be read.
    """

    def __init__(self, headers: dict[str, str]) -> None:
        import httpx2

        self._headers = {"Content-Type": "application/json", **headers}
        try:
            # Loading the certificates takes longer than a request.
            self._certificates = httpx2.create_ssl_context()
        except OSError as error:
            raise ConfigurationError(
                f"The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read "
                f"({error.strerror or error}). Name a file in PEM format, or unset the variable."
            ) from error
        self._all: list[httpx2.AsyncClient] = []
        self._free: dict[Proxy | None, list[httpx2.AsyncClient]] = defaultdict(list)

    @asynccontextmanager
    async def lane(self, proxy: Proxy | None) -> AsyncIterator[httpx2.AsyncClient]:
        """A client that nobody else uses meanwhile, and that goes through this proxy.

        Raises:
            ConfigurationError: there is no way through such a proxy.
        """
        free = self._free[proxy]
        client = free.pop() if free else self._new(proxy)
        try:
            yield client
        finally:
            free.append(client)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._all:
            await client.aclose()

    def _new(self, proxy: Proxy | None) -> httpx2.AsyncClient:
        import httpx2

        try:
            client = httpx2.AsyncClient(
                headers=self._headers,
                verify=self._certificates,
                proxy=proxy.url if proxy else None,
                # The proxy is chosen here, and named where it fails.
                trust_env=False,
                timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
                limits=httpx2.Limits(keepalive_expiry=_IDLE_SECONDS),
            )
        except ImportError as error:
            raise ConfigurationError(
                f"{proxy} speaks SOCKS, which needs a package: pip install socksio. Or put the server's host into "
                "no_proxy."
            ) from error
        except (ValueError, httpx2.InvalidURL) as error:
            raise ConfigurationError(
                f"{proxy} is none that can be used: its URL begins with http://, https:// or socks5://. Set the "
                "variable right, or put the server's host into no_proxy."
            ) from error
        self._all.append(client)
        return client
