"""The text of a completion while it comes: never half of a character, nor what may become a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from promptmill.engine.detokenise import REPLACEMENT, decode, joined

MOST_HALVES = 3
"""Signs at the end that may become a character: tokenizers show an unfinished one as one sign, or as one a byte."""


class ShownText:
    """Hands over what is new, at a cost that doesn't depend on how much there is already.

    Args:
        write: is given each piece.
        before: the tokens that the completion is read after.
    """

    def __init__(
        self, tokenizer: Any, stop: tuple[str, ...], write: Callable[[str], None], before: Sequence[int] = ()
    ) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._longest = max(map(len, stop), default=0)
        self._write = write
        self._prefix = list(before)
        self._before, self._whole = 0, len(self._prefix)
        self._taken = len(decode(tokenizer, self._prefix)) if before else 0
        self._held = ""
        self._shown = ""

    def grow(self, tokens: Sequence[int]) -> None:
        """Take in what `tokens` has more than last time."""
        self._held += self._fresh(tokens)
        safe = len(self._held) - self._held_back()
        if safe:
            self._show(self._held[:safe])
            self._held = self._held[safe:]

    def end(self, whole: str) -> None:
        """Show what is left of the whole text."""
        if whole.startswith(self._shown) and len(whole) > len(self._shown):
            self._show(whole[len(self._shown) :])

    def _fresh(self, tokens: Sequence[int]) -> str:
        """What the new tokens add; decoded with a few before them, on which a leading space depends."""
        since = joined(self._prefix, tokens, self._before)
        text = decode(self._tokenizer, since)
        halves = min(MOST_HALVES, len(text) - len(text.rstrip(REPLACEMENT)))
        safe = text[: len(text) - halves]
        fresh, self._taken = safe[self._taken :], max(self._taken, len(safe))
        if fresh and not halves:
            self._before, self._whole = self._whole, self._before + len(since)
            self._taken = len(decode(self._tokenizer, joined(self._prefix, tokens, self._before)))
        return fresh

    def _held_back(self) -> int:
        """The length of the longest end that a stop string begins with."""
        lengths = range(min(len(self._held), self._longest), 0, -1)
        return next((size for size in lengths if self._begins(self._held[-size:])), 0)

    def _begins(self, end: str) -> bool:
        return any(stop.startswith(end) for stop in self._stop)

    def _show(self, text: str) -> None:
        self._shown += text
        self._write(text)
