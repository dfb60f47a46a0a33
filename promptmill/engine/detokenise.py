"""Reads tokens as text while they come, a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST_CHARACTER = 4
"""Tokens that a character in UTF-8 can be spread over; what is unreadable after that stays so."""
_TAIL = 8
"""Tokens of a prompt that a completion is read after."""


def decode(tokenizer: Any, tokens: Sequence[int]) -> str:
    """The text of `tokens` as they are: no special tokens, no spaces tidied up."""
    text: str = tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


class WithSpecialTokens:
    """A tokenizer that decodes special tokens too."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def decode(self, tokens: list[int], **options: Any) -> Any:
        """The text of all tokens, whatever the options say of special ones."""
        return self._tokenizer.decode(tokens, **{**options, "skip_special_tokens": False})


def tail(tokenizer: Any, prompt: Sequence[int]) -> list[int]:
    """The last tokens of a plain prompt, which the first token of its completion is read after.

    Tokenizers of SentencePiece's kind drop the space that a text begins with, so a completion that is read by itself
    loses it. Empty where nothing can be read before the completion: no text, or half a character.
    """
    last = list(prompt[-_TAIL:])
    text = decode(tokenizer, last)
    return [] if not text or text.endswith(REPLACEMENT) else last


def joined(before: Sequence[int], tokens: Sequence[int], start: int) -> list[int]:
    """`before` and `tokens`, one after the other, from place `start` on."""
    return [*before[start:], *tokens[max(0, start - len(before)) :]]


def decode_after(tokenizer: Any, before: Sequence[int], tokens: Sequence[int]) -> str:
    """The text that `tokens` add to that of `before`."""
    if not before:
        return decode(tokenizer, tokens)
    known, text = decode(tokenizer, before), decode(tokenizer, [*before, *tokens])
    return text[len(known) :] if text.startswith(known) else decode(tokenizer, tokens)


def without_half(tokenizer: Any, before: Sequence[int], tokens: Sequence[int], text: str) -> str:
    """The text of tokens that were cut off, without the character at its end that is not whole.

    Args:
        before: the tokens that they are read after.
        text: what all of them come to.
    """
    if not text.endswith(REPLACEMENT) or _spells_replacement(tokenizer, tokens):
        return text
    for left_out in range(1, LONGEST_CHARACTER):
        earlier = decode_after(tokenizer, before, tokens[:-left_out])
        if not earlier.endswith(REPLACEMENT):
            # The first token left out may begin with whole characters; byte tokens spoil those before the cut.
            return max(earlier, text.rstrip(REPLACEMENT), key=len)
    return text  # more than a character could be: the model itself wrote what is no text


def _spells_replacement(tokenizer: Any, tokens: Sequence[int]) -> bool:
    """Whether the model wrote the replacement character itself, in one token or byte by byte."""
    last = [str(token) for token in tokenizer.convert_ids_to_tokens(list(tokens[-3:]))]
    return "".join(last).endswith((REPLACEMENT, "ï¿½", "<0xEF><0xBF><0xBD>"))


class Detokeniser:
    """The text of one row, grown token by token at a cost that doesn't depend on its length.

    A token alone has no text of its own: its leading space, or its half of a character, depends on
    what came before. So the few tokens since the last whole character are decoded with and without
    the new one, and the difference is what is new.
    """

    def __init__(self, longest: int, before: Sequence[int] = ()) -> None:
        """Keep enough text to find a string of `longest` characters that ends in what is new.

        `before` are the tokens that the row's are read after.
        """
        self._prefix = list(before)
        self._keep = longest - 1
        self._tail = ""
        self._before = 0
        self._read = len(self._prefix)

    def grow(self, tokenizer: Any, tokens: Sequence[int]) -> str:
        """Take in what `tokens` has more than last time; return the text worth searching, or ""."""
        since, seen = joined(self._prefix, tokens, self._before), self._read - self._before
        known, text = decode(tokenizer, since[:seen]), decode(tokenizer, since)
        half = text.endswith(REPLACEMENT) and len(since) - seen < LONGEST_CHARACTER
        if half or len(text) <= len(known):
            return ""
        self._before, self._read = self._read, self._before + len(since)
        fresh = text[len(known) :]
        window = self._tail + fresh
        self._tail = window[-self._keep :] if self._keep else ""
        return window
