"""HTTP to a server: one request, and what may come of it."""

from __future__ import annotations

import asyncio

from promptmill.endpoint import wire
from promptmill.endpoint.connections import Lanes
from promptmill.endpoint.faults import Astray, Cut, Page, Slow, Unreachable
from promptmill.endpoint.judging import BUSY, MISSING, judged, refused_by_proxy
from promptmill.endpoint.masking import Mask
from promptmill.endpoint.options import Key
from promptmill.endpoint.record import Api
from promptmill.endpoint.said import Said
from promptmill.endpoint.ways import Proxy, proxy_to, tls_fault
from promptmill.errors import ConfigurationError, NotFound

_LIST_SECONDS = 20.0
# `transformers serve` answers 500 where there is no cache of the Hub's to list.
_BROKEN_LIST = (502, 504, *BUSY)


class Client:
    """Connections to the servers of one process; to be closed in the end.

    Args:
        model: the name that the servers know it by.
        timeout: seconds that a request may take in all.
    """

    def __init__(self, model: str, key: Key | None, timeout: float) -> None:
        self._model = model
        self._mask = Mask(key.secret if key else None)
        self._timeout = timeout
        self._lanes = Lanes(key.headers if key else {})

    async def close(self) -> None:
        """Close all connections."""
        await self._lanes.close()

    async def complete(self, base: str, api: Api, body: bytes, *, most: int) -> wire.Answer:
        """Ask for one completion.

        Raises:
            Fault: there is none this time.
            AccessDenied, NotFound, ConfigurationError: there will be none at all.
        """
        url = f"{base}/{wire.PATHS[api]}"
        said = await self._send("POST", url, self._timeout, body)
        if said.status == 200:
            if said.is_page:
                raise Page(f"{url} answers with a page for people: {said.shown}")
            if said.is_stream:
                raise ConfigurationError(
                    f"The server at {base} answers in a stream, though it is asked not to (`stream: false`): "
                    f"{said.shown}. Switch that off there, or ask another server."
                )
            return wire.answer_of(said, base, most=most)
        if said.status in MISSING:
            raise await self._missing(base, api, said)
        proxy = proxy_to(base)
        raise judged(said.status, said, base, proxy=str(proxy) if proxy else None)

    async def listed(self, base: str) -> wire.Listed:
        """What the server's list of models says; nothing if it has none, or shows it to nobody.

        Raises:
            Fault: it gives no answer.
        """
        said = await self._send("GET", f"{base}/models", _LIST_SECONDS, None)
        if said.status == 200:
            return wire.listed(said, self._model)
        if said.status in _BROKEN_LIST:
            raise judged(said.status, said, base)
        return wire.Listed({})

    async def _send(self, method: str, url: str, seconds: float, body: bytes | None) -> Said:
        import httpx2

        # The list is asked for when something went wrong. Servers that fail at it close the connection after their
        # answer, and the next request on it would break too.
        headers = {"Connection": "close"} if method == "GET" else None
        proxy = proxy_to(url)
        try:
            async with self._lanes.lane(proxy) as http:
                got = await asyncio.wait_for(http.request(method, url, content=body, headers=headers), seconds)
        except httpx2.ProxyError as error:
            raise self._refused(url, proxy, error) from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise self._unreachable(url, proxy, error) from error
        except (asyncio.TimeoutError, httpx2.TimeoutException) as error:
            raise Slow(f"no answer within {seconds:g} s") from error
        except httpx2.HTTPError as error:
            raise Cut(f"the connection broke ({self._words(error)})") from error
        return Said.of(got, self._mask)

    def _unreachable(self, url: str, proxy: Proxy | None, error: Exception) -> Exception:
        if (fault := tls_fault(error)) is not None:
            return ConfigurationError(f"No connection to {url}: {fault}.")
        if proxy is not None:
            return Astray(
                f"{proxy} does not answer ({self._words(error)}), so there is no way to {url}. Start it, set the "
                "variable right, or put the server's host into no_proxy"
            )
        return Unreachable(f"no connection to {url} ({self._words(error)})")

    def _refused(self, url: str, proxy: Proxy | None, error: Exception) -> Exception:
        told = self._words(error)
        if told[:1] == "5":  # it is the server that the proxy does not reach
            return Unreachable(f"no connection to {url}; {proxy} says: {told}")
        return ConfigurationError(refused_by_proxy(url, str(proxy), told))

    async def _missing(self, base: str, api: Api, said: Said) -> Exception:
        found = (await self.listed(base)).names
        of_model = self._model in said.text or (said.object and "model" in said.message.lower())
        if not found and not of_model:
            return ConfigurationError(
                f"There is no OpenAI API at {base} (HTTP {said.status} at /{wire.PATHS[api]}: {said.message}). Look "
                "for the path in the server's own pages; for most it is /v1, as in --endpoint-url "
                "http://localhost:8000/v1."
            )
        has = f"It has: {', '.join(found[:20])}." if found else "It does not say which it has."
        other = "completions" if api == "chat" else "chat"
        return NotFound(
            f"The server at {base} has no model {self._model!r} at /{wire.PATHS[api]} (HTTP {said.status}: "
            f"{said.message.rstrip('.')}). {has} Choose one with --model; or the other way to ask, "
            f"--endpoint-api {other}."
        )

    def _words(self, error: Exception) -> str:
        return self._mask.text(str(error)) or type(error).__name__
