"""Counting tokens where a server does not: with the model's tokenizer, if it is on this disk."""

from __future__ import annotations

import logging
from typing import Any

from promptmill.endpoint.asking import Counter
from promptmill.endpoint.record import Counts
from promptmill.engine.contract import Request

logger = logging.getLogger(__name__)


def uncounted(request: Request, response: str) -> tuple[int | None, int | None]:
    """Nobody counts."""
    return None, None


def token_counter(model: str, counts: Counts) -> Counter:
    """What counts the tokens that the server leaves uncounted."""
    tokenizer = tokenizer_at_hand(model) if counts == "tokenizer" else None
    if counts == "tokenizer" and tokenizer is None:
        logger.warning("The tokenizer of %s is not on this machine's disk; tokens are not counted here.", model)
    return uncounted if tokenizer is None else _Counter(tokenizer)


def tokenizer_at_hand(model: str) -> Any | None:
    """The tokenizer of a folder or of the Hugging Face cache; None if there is none of that name."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model, local_files_only=True)
    except Exception as error:  # whatever it is that is not there or not a model's name, nothing is counted then
        logger.debug("No tokenizer for %s: %s", model, error)
        return None


class _Counter:
    """Counts with a tokenizer; a text that it cannot take is not counted."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, request: Request, response: str) -> tuple[int | None, int | None]:
        try:
            return self._of_prompt(request), len(self._tokenizer(response, add_special_tokens=False)["input_ids"])
        except Exception as error:  # a template may raise anything at all on one row
            logger.debug("The tokens of row %d are not counted: %s", request.position, error)
            return None, None

    def _of_prompt(self, request: Request) -> int:
        if request.messages is None:
            return len(self._tokenizer(request.prompt)["input_ids"])
        encoded = self._tokenizer.apply_chat_template(
            list(request.messages), add_generation_prompt=True, tokenize=True, return_dict=True
        )
        return len(encoded["input_ids"])
