"""Servers and gateways that repeat what they were sent, in whichever part of whichever answer."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from urllib.parse import quote

from tests.endpoint.server import Reply


def replies_with(key: str) -> Iterator[tuple[str, Reply]]:
    """Every kind of answer with the key in every one of its fields, by name."""
    for status in (400, 401, 402, 403, 404, 405, 408, 413, 418, 422, 429, 500, 502, 503, 504, 529):
        yield f"{status} message", _json(status, {"error": {"message": f"bad key {key}"}})
        yield f"{status} long message", _json(status, {"error": {"message": "x" * 281 + key}})
        yield f"{status} raw", _json(status, {"error": {"message": "m", "metadata": {"raw": json.dumps({"k": key})}}})
        yield f"{status} detail", _json(status, {"detail": [{"loc": ["header"], "input": key}]})
        yield f"{status} page", Reply(status, f"<p>{html.escape(key)} {quote(key, safe='')}</p>".encode())
    for code in (None, 400, 401, 402, 403, 404, 429, 500):
        yield f"200 error {code}", _json(200, {"error": {"message": f"{'x' * 281}{key}", "code": code, key: key}})
        yield f"200 error {code} as text", _json(200, {"error": key})
    yield "200 finish_reason", _choice({"text": "hello"}, finish_reason=key)
    yield "200 finish_reason, no text", _choice({"text": None}, finish_reason=f"{'x' * 281}{key}")
    yield "200 content", _choice({"text": f"hello {key}"})
    yield "200 message", _choice({"message": key})
    yield "200 content that is none", _choice({"text": {"key": key}})
    yield "200 parts", _choice({"message": {"content": [{"type": "text", "text": key}, {"type": key}]}})
    yield "200 model", _json(200, {"model": key, "system_fingerprint": key, **_choices({"text": "hello"})})
    yield "200 page", Reply(200, f"<html>{key}</html>".encode())
    yield "200 text", Reply(200, b"x" * 281 + key.encode())
    yield "200 list", _json(200, [key])
    yield "200 stream", Reply(200, f"data: {key}\n\n".encode())
    yield "redirect", Reply(302, b"", {"Location": f"http://elsewhere/?key={quote(key, safe='')}"})
    yield "Retry-After", Reply(429, key.encode(), {"Retry-After": key})


def _choices(choice: dict[str, object], finish_reason: object = "stop") -> dict[str, object]:
    return {"choices": [{**choice, "finish_reason": finish_reason}]}


def _choice(choice: dict[str, object], finish_reason: object = "stop") -> Reply:
    return _json(200, _choices(choice, finish_reason))


def _json(status: int, value: object) -> Reply:
    return Reply(status, json.dumps(value).encode())
