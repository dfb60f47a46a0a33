"""What a server answered: read once, by its charset, and without the key from here on."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from promptmill.endpoint.masking import Mask
from promptmill.rows import repaired

if TYPE_CHECKING:
    import httpx2

_SHOWN = 300
_LONGEST = 366 * 86400.0
_REASON = ("message", "detail", "msg", "error_description", "title")


@dataclass(frozen=True)
class Said:
    """An answer.

    Attributes:
        kind: its media type, as text/html.
        text: all of it; what is no text of its charset has replacement characters.
        value: the JSON that it is; None if it is none.
        retry_after: seconds that the server asks to be left alone.
        location: where a redirect leads.
    """

    status: int
    kind: str
    text: str
    value: Any
    retry_after: float | None = None
    location: str = ""

    @classmethod
    def of(cls, response: httpx2.Response, mask: Mask) -> Said:
        """The answer without the key."""
        kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
        content, charset = response.content, response.charset_encoding or "utf-8"
        try:
            text = content.decode(charset, "replace")
        except LookupError:
            text = content.decode("utf-8", "replace")
        location = mask.text(response.headers.get("Location", ""))
        value = mask.value(_json(content, charset))
        return cls(response.status_code, kind, mask.text(text), value, _seconds(response.headers), location)

    @property
    def object(self) -> dict[str, Any]:
        """The JSON object that it is; an empty one if it is none."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def is_page(self) -> bool:
        """Whether it is made for people: no server of models answers so, but a gateway does, or a web page."""
        return self.kind == "text/html" or self.text.lstrip()[:1] == "<"

    @property
    def is_stream(self) -> bool:
        """Whether it comes in events, which nobody asked for."""
        return self.kind == "text/event-stream" or self.text.startswith("data:")

    @property
    def shown(self) -> str:
        """Its beginning on one line."""
        return shortened(self.text)

    @property
    def message(self) -> str:
        """What it says that went wrong, in whichever of the usual places."""
        return shortened(reason_of(self.object) or self.text)


def shortened(text: str) -> str:
    """The beginning of a text on one line."""
    text = repaired(" ".join(text.split()))
    if not text:
        return "nothing at all"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def reason_of(value: dict[str, Any]) -> str:
    """What a JSON object says that went wrong; nothing if it says nothing in one of the usual places."""
    error = value.get("error")
    if isinstance(error, dict):
        told = next((error[name] for name in _REASON if error.get(name)), None)
        return f"{told or error}{_of_provider(error)}"
    told = error or next((value[name] for name in _REASON if value.get(name)), None)
    return str(told) if told else ""


def _of_provider(error: dict[str, Any]) -> str:
    """OpenRouter hands on in `metadata.raw` what the provider behind it said."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if isinstance(raw, str):
        found = _json(raw.encode("utf-8", "surrogatepass"), "utf-8")
        raw = (reason_of(found) if isinstance(found, dict) else "") or raw
    return f": {raw}" if raw else ""


def _json(content: bytes, charset: str) -> Any:
    try:
        return json.loads(content if charset.lower() in ("utf-8", "utf8") else content.decode(charset))
    except (ValueError, LookupError, RecursionError):
        return None


def _seconds(headers: httpx2.Headers) -> float | None:
    """`Retry-After`: a number of seconds, or a date; or OpenAI's, in milliseconds."""
    milliseconds, header = headers.get("retry-after-ms"), headers.get("Retry-After")
    for told, unit in ((milliseconds, 0.001), (header, 1.0)):
        with suppress(ValueError):
            return min(_LONGEST, max(0.0, float(told or "") * unit))
    try:
        return max(0.0, (parsedate_to_datetime(header or "") - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError):
        return None
