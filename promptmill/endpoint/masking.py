"""The key does not get into a row, a log or a record, wherever a server puts it in what it says."""

from __future__ import annotations

import html
import json
from typing import Any
from urllib.parse import quote

_MASK = "…"
_SECRET = 12
"""Characters from which on a key is taken for a secret. Servers that want none are given a word, EMPTY or ollama: a
response may well hold that, and keeps it."""
_WRITTEN = ("content", "text")


class Mask:
    """Takes the key out of what a server says, however it is written there.

    Args:
        key: None if there is none.
    """

    def __init__(self, key: str | None) -> None:
        written = (key, json.dumps(key)[1:-1], quote(key, safe=""), html.escape(key)) if key else ()
        self._forms = sorted(set(written), key=len, reverse=True)
        self._secret = key is not None and len(key) >= _SECRET

    def text(self, said: str) -> str:
        """Without the key."""
        for form in self._forms:
            said = said.replace(form, _MASK)
        return said

    def value(self, said: Any) -> Any:
        """A value of JSON without the key, names included."""
        if not self._forms:
            return said
        if isinstance(said, str):
            return self.text(said)
        if isinstance(said, list):
            return [self.value(one) for one in said]
        if isinstance(said, dict):
            return {self.text(name): self._part(name, one) for name, one in said.items()}
        return said

    def _part(self, name: str, said: Any) -> Any:
        return said if name in _WRITTEN and isinstance(said, str) and not self._secret else self.value(said)
