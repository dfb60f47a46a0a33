"""A server with OpenAI's API and no model: it answers with the prompt's words, and fails as it is told to.

In a thread for tests that look into it; `python -m tests.endpoint.server` for those that need a process.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

MODEL = "words"


@dataclass(frozen=True)
class Asked:
    """A request for a completion; `number` counts all of them from 1."""

    number: int
    path: str
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def text(self) -> str:
        """The prompt, or the last message."""
        return str(self.body["prompt"]) if "prompt" in self.body else str(self.body["messages"][-1]["content"])


@dataclass(frozen=True)
class Reply:
    """Another answer than the usual one.

    Attributes:
        hangs: never answer.
        cut: send so many bytes of the answer, then reset the connection; 0 sends nothing at all.
    """

    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    cut: int | None = None


Behave = Callable[[Asked], Reply | None]


class WordServer:
    """The server, in a thread of its own while used with `with`.

    Args:
        behave: called for each request for a completion; None is the usual answer.
        seconds: each answer takes so long.
        usage: whether tokens are counted.
        seeds: whether the seed changes the answer.
        key: what the Authorization header has to bring.
        root: what the list of models says that was loaded.
        listing: the answer instead of a list of models.
    """

    def __init__(
        self,
        behave: Behave | None = None,
        *,
        seconds: float = 0.0,
        usage: bool = True,
        seeds: bool = True,
        key: str | None = None,
        root: str | None = "words-1",
        port: int = 0,
        models: tuple[str, ...] = (MODEL,),
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        listing: Reply | None = None,
    ) -> None:
        self.behave = behave
        self.seconds = seconds
        self.usage = usage
        self.seeds = seeds
        self.key = key
        self.root = root
        self.models = models
        self.any_name = False
        """Whether it answers to names that it does not list."""
        self.port = port
        self.host = host
        self.tls = tls
        self.listing = listing
        self.proxied = 0
        self.asked: list[Asked] = []
        self.at_once = self.most_at_once = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}/v1"

    @property
    def texts(self) -> list[str]:
        """What it was asked, in order, without the trials."""
        return [asked.text for asked in self.asked if "lighthouse" not in asked.text]

    def __enter__(self) -> WordServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; on the port of the last time, if there was one."""
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()

        def serve() -> None:
            self._loop.run_until_complete(self.listen())
            ready.set()
            self._loop.run_forever()

        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()
        assert ready.wait(20)

    def stop(self) -> None:
        """Be gone at once, as if killed: connections are reset."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(20)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(20)
            self._loop.close()

    async def listen(self) -> None:
        """Take connections on this loop."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port, backlog=1024, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        self._server.close()
        # Connections that are being taken are nobody's yet, and could not be reset.
        for _ in range(20):
            if not asyncio.all_tasks() - self._serving - {asyncio.current_task()}:  # type: ignore[arg-type]
                break
            await asyncio.sleep(0.01)
        for writer in self._writers:
            writer.transport.abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._serving.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first = await reader.readexactly(1)
        if first == b"\x16":  # TLS, where none is spoken
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return False
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            reply = await self._reply(method, path, headers, content)
        finally:
            self.at_once -= 1
        if reply.hangs:
            await asyncio.Event().wait()
        body = reply.body if reply.body is not None else b"{}"
        headers = {"Content-Length": len(body), "Content-Type": "application/json", **reply.headers}
        lines = [f"HTTP/1.1 {reply.status} X", *(f"{name}: {value}" for name, value in headers.items())]
        answer = "\r\n".join([*lines, "", ""]).encode() + body
        writer.write(answer if reply.cut is None else answer[: reply.cut])
        await writer.drain()
        if reply.cut is not None:
            writer.transport.abort()
        return reply.cut is None

    async def _reply(self, method: str, path: str, headers: dict[str, str], content: bytes) -> Reply:
        if self.key is not None and headers.get("authorization") != f"Bearer {self.key}":
            told = headers.get("authorization", "none")
            return _error(401, f"Incorrect API key provided: {told}")
        if path.startswith("http://"):  # as a proxy is asked; it has the server's part as well
            self.proxied += 1
            path = urlsplit(path).path
        if (method, path) == ("GET", "/v1/models"):
            if self.listing is not None:
                return self.listing
            entries = [{"id": name, "object": "model", "created": 1, "root": self.root} for name in self.models]
            return Reply(body=json.dumps({"object": "list", "data": entries}).encode())
        if path not in ("/v1/completions", "/v1/chat/completions"):
            return _error(404, f"no {path} here")
        asked = Asked(len(self.asked) + 1, path, json.loads(content), headers)
        self.asked.append(asked)
        if self.behave is not None and (told := self.behave(asked)) is not None:
            return told
        if asked.body["model"] not in self.models and not self.any_name:
            return _error(404, f"The model `{asked.body['model']}` does not exist.")
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return Reply(body=json.dumps(self.answer(asked)).encode())

    def answer(self, asked: Asked) -> dict[str, Any]:
        """The usual answer: the same for the same prompt and seed, at temperature 0 for the same prompt."""
        body = asked.body
        certain = body.get("temperature") == 0 or body.get("top_k") == 1 or body.get("min_p") == 1.0
        chance = 0 if certain else body["seed"] if self.seeds and "seed" in body else asked.number
        penalty = body.get("repetition_penalty", 1.0)
        said = hashlib.sha256(f"{asked.text} {chance} {penalty}".encode()).hexdigest()
        words = [said[at : at + 4] for at in range(0, 4 * (1 + int(said[0], 16)), 4)]
        most = body.get("max_tokens") or body["max_completion_tokens"]
        cut = words[:most]
        text = " ".join(cut)
        reason = "length" if len(cut) < len(words) or len(words) == most else "stop"
        choice = {"index": 0, "finish_reason": reason}
        choice |= {"text": text} if "prompt" in body else {"message": {"role": "assistant", "content": text}}  # type: ignore[operator]
        usage = {"prompt_tokens": len(asked.text.split()), "completion_tokens": len(cut)}
        return {"object": "text_completion", "choices": [choice], **({"usage": usage} if self.usage else {})}


def _error(status: int, message: str, **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": status}}).encode()
    return Reply(status, body, headers)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    options = parser.parse_args()

    async def serve() -> None:
        server = WordServer(port=options.port, seconds=options.seconds)
        await server.listen()
        print(server.url, flush=True)
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
