"""Which tokens of a tokenizer are special: none of them is text."""

from __future__ import annotations

from typing import Any


def special_tokens(tokenizer: Any) -> dict[int, str]:
    """The tokens that a response is decoded without, and that stand for themselves in a prompt, by their ids."""
    named = tokenizer.all_special_ids
    return {number: text for text, number in tokenizer.get_added_vocab().items() if number in named} | {
        number: token.content for number, token in tokenizer.added_tokens_decoder.items() if token.special
    }
