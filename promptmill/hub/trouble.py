"""Telling failures that pass from those that do not, by type and status."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from promptmill.hub.patience import GaveUp

if TYPE_CHECKING:
    import httpx2

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
FULL = (errno.ENOSPC, errno.EDQUOT)


def passing(error: BaseException) -> str | None:
    """Why it is worth another try, in a few words; None if it is not.

    hf_xet raises built-in exceptions without a status: ConnectionError for whatever storage answered,
    RuntimeError for a transfer that was ended.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    for link in chain(error):
        if isinstance(link, (GaveUp, OfflineModeIsEnabled)) or getattr(link, "errno", None) in FULL:
            return None
        response = getattr(link, "response", None)
        if response is not None:
            status = int(response.status_code)
            return f"HTTP {status}" if status in TRANSIENT else None
        if isinstance(link, (httpx2.TransportError, ConnectionError, json.JSONDecodeError)):
            return reason(link)
        if isinstance(link, HfHubHTTPError):
            return None
    if isinstance(error, RuntimeError) or (isinstance(error, OSError) and error.errno is None):
        return reason(error)
    return None


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def response_of(error: BaseException) -> httpx2.Response | None:
    """The answer that an error is about, directly or through what it was raised from."""
    return next((found for link in chain(error) if (found := getattr(link, "response", None)) is not None), None)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error is about."""
    response = response_of(error)
    return None if response is None else int(response.status_code)


def reason(error: BaseException) -> str:
    """A few words on what happened to a request."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}{f' ({text[0][:120]})' if text else ''}"


def asked_wait(response: httpx2.Response) -> float | None:
    """Seconds that an answer asks to wait, by Retry-After or by the Hub's own RateLimit headers."""
    from huggingface_hub.utils._http import parse_ratelimit_headers

    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    rate = parse_ratelimit_headers(response.headers) if response.status_code == 429 else None
    return float(rate.reset_in_seconds) if rate is not None and rate.remaining == 0 else None
