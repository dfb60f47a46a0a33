"""Reads tokens as text while they come, a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST_CHARACTER = 4
"""Tokens that a character in UTF-8 can be spread over; what is unreadable after that stays so."""


def decode(tokenizer: Any, tokens: Sequence[int]) -> str:
    """The text of `tokens` as they are: no special tokens, no spaces tidied up."""
    text: str = tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


class Detokeniser:
    """The text of one row, grown token by token at a cost that doesn't depend on its length.

    A token alone has no text of its own: its leading space, or its half of a character, depends on
    what came before. So the few tokens since the last whole character are decoded with and without
    the new one, and the difference is what is new.
    """

    def __init__(self, longest: int) -> None:
        """Keep enough text to find a string of `longest` characters that ends in what is new."""
        self._keep = longest - 1
        self._tail = ""
        self._before = 0
        self._read = 0

    def grow(self, tokenizer: Any, tokens: Sequence[int]) -> str:
        """Take in what `tokens` has more than last time; return the text worth searching, or ""."""
        known = decode(tokenizer, tokens[self._before : self._read])
        text = decode(tokenizer, tokens[self._before :])
        half = text.endswith(REPLACEMENT) and len(tokens) - self._read < LONGEST_CHARACTER
        if half or len(text) <= len(known):
            return ""
        self._before, self._read = self._read, len(tokens)
        fresh = text[len(known) :]
        window = self._tail + fresh
        self._tail = window[-self._keep :] if self._keep else ""
        return window
