"""Prompts and chats to tokens, by the rules of a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from promptmill.rendering.dates import with_date
from promptmill.rendering.rules import Rendering
from promptmill.rendering.trial import ChatTrial, Message

logger = logging.getLogger(__name__)


class LeftOut(Exception):
    """A message that the chat template leaves out."""


class Renderer:
    """What a tokenizer and its chat template make of prompts.

    The earliest rules are what the tokenizer does by itself. Those of version 1: no end token behind a plain
    prompt, a begin token once, a turn opened for the assistant, the date of the run's beginning, and no message
    left out.
    """

    def __init__(self, tokenizer: Any, rendering: Rendering) -> None:
        self._tokenizer = tokenizer
        self._rendering = rendering
        self._begin: int | None = tokenizer.bos_token_id
        self._said: set[str] = set()

    def tokens(self, prompt: str | None, messages: Sequence[Message] | None) -> list[int]:
        """The ids of a prompt, or of a chat up to where the assistant's text begins.

        Raises:
            LeftOut: a message would not come to the model.
            Exception: whatever a template or a tokenizer raises on these.
        """
        tokens = self._of_plain(prompt or "") if messages is None else self._of_chat(messages)
        if self._rendering.version and self._begin is not None and tokens[:2] == [self._begin] * 2:
            begin = self._tokenizer.bos_token
            self._say_once(f"A prompt begins with {begin}, and the tokenizer puts one there too: one is left out.")
            tokens = tokens[1:]
        return tokens

    def text(self, messages: Sequence[Message], opened: bool) -> str:
        """A chat as the template renders it; `opened`: up to where the assistant's text begins."""
        rendered: str = self._tokenizer.apply_chat_template(
            list(messages), chat_template=self._template, add_generation_prompt=opened, tokenize=False
        )
        return rendered

    def decoded(self, tokens: Sequence[int]) -> str:
        """The text of a prompt's tokens, special ones included."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    @cached_property
    def trial(self) -> ChatTrial:
        """What the chat template does with known texts."""
        return ChatTrial(self.text)

    @cached_property
    def turn_ends(self) -> frozenset[int]:
        """The special token that ends an assistant's turn in a conversation, as ids that end a row."""
        if not self._rendering.version or self._tokenizer.chat_template is None:
            return frozenset()
        known = self._tokenizer.added_tokens_decoder
        behind = _ids(self._tokenizer(self.trial.behind_answer(), add_special_tokens=False))
        return frozenset([token for token in behind if token in known and known[token].special][:1])

    def _of_plain(self, prompt: str) -> list[int]:
        # Not said at all where it is off: some tokenizers do not know it.
        tokens = _ids(self._tokenizer(prompt, **({"split_special_tokens": True} if self._rendering.split else {})))
        if self._appended is None or tokens[-1:] != [self._appended]:
            return tokens
        end = self._tokenizer.eos_token
        self._say_once(f"The tokenizer puts {end} behind a prompt, after which a model says no more: it is left out.")
        return tokens[:-1]

    def _of_chat(self, messages: Sequence[Message]) -> list[int]:
        if not self._rendering.version:
            encoded = self._tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, tokenize=True, return_dict=True
            )
            return _ids(encoded)
        for role in dict.fromkeys(message["role"] for message in messages):
            if self.trial.leaves_out(role):
                raise LeftOut(
                    f"The model's chat template leaves out messages of the role {role}. Put their text into the user's "
                    "message."
                )
        if self._rendering.split:
            encoded = self._tokenizer.apply_chat_template(
                list(messages),
                chat_template=self._template,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                sanitize_control_tokens=True,
            )
            return _ids(encoded) + (
                _ids(self._tokenizer(self._header, add_special_tokens=False)) if self._header else []
            )
        return _ids(self._tokenizer(self.text(messages, True) + self._header, add_special_tokens=False))

    @cached_property
    def _header(self) -> str:
        header = self.trial.header()
        if header:
            self._say_once(
                f"The chat template opens no turn for the assistant: {header!r}, with which an answer begins in a "
                "conversation, is put behind each prompt."
            )
        return header

    @cached_property
    def _template(self) -> str | None:
        """The template with its date, where the run has one; None leaves it to the tokenizer."""
        moment = self._rendering.moment
        return None if moment is None else with_date(self._tokenizer.get_chat_template(), moment)

    @cached_property
    def _appended(self) -> int | None:
        """The end token that the tokenizer appends to a plain text; None if it appends none, or that is kept."""
        end = self._tokenizer.eos_token_id
        if not self._rendering.version or end is None:
            return None
        appends = _ids(self._tokenizer("a"))[-1:] == [end] != _ids(self._tokenizer("a", add_special_tokens=False))[-1:]
        return int(end) if appends else None

    def _say_once(self, what: str) -> None:
        if what not in self._said:
            logger.info("%s", what)
        self._said.add(what)


def _ids(encoded: Any) -> list[int]:
    return [int(token) for token in encoded["input_ids"]]
