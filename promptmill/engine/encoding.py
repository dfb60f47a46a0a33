"""Requests to rows: chat template, tokenizer, context, and the order in which they are taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

from promptmill.engine.contract import Completion, Request
from promptmill.engine.rows import Row
from promptmill.rendering import NEWEST, LeftOut, Renderer, Rendering

LOOK_AHEAD = 2048
"""Requests that are encoded and sorted together: bounds memory, and the time to the first token."""


_SLICE = 100_000
"""Characters that are encoded at a time to find that a text is too long: a tokenizer takes some 200 bytes for each."""
_CHARACTERS_A_TOKEN = 16
"""A text of fewer characters for each position of the context may well fit, and is encoded whole."""
_SEAM = 32
"""Tokens that a cut between two slices may add at the very most."""


@dataclass(frozen=True)
class Window:
    """Requests that were looked at together: the rows in the order to take them, and those refused."""

    rows: list[Row]
    refused: list[Completion]


class Encoder:
    """Turns requests into rows of like length."""

    def __init__(
        self,
        tokenizer: Any,
        *,
        context: int | None,
        max_new_tokens: int,
        vocabulary: int | None = None,
        rendering: Rendering = NEWEST,
    ) -> None:
        """`context` is how many positions the model has, `vocabulary` how many tokens; None if not known.

        `rendering` are the rules of the run.
        """
        self._tokenizer = tokenizer
        self._context = context
        self._most = max_new_tokens
        self._vocabulary = vocabulary
        self._renderer = Renderer(tokenizer, rendering)

    def windows(self, requests: Iterable[Request]) -> Iterator[Window]:
        """Requests in the order to take them, a window at a time.

        The first window goes from the longest prompt to the shortest, so that what needs most memory
        comes first; the next goes back up, so that rows of like length meet at the seam.
        """
        iterator = iter(requests)
        falling = True
        while batch := list(islice(iterator, LOOK_AHEAD)):
            encoded = [self.encode(request) for request in batch]
            rows = [item for item in encoded if isinstance(item, Row)]
            rows.sort(key=lambda row: (len(row.prompt), row.prompt), reverse=falling)
            _mark_shared(rows)
            yield Window(rows, [item for item in encoded if isinstance(item, Completion)])
            falling = not falling

    def encode(self, request: Request) -> Row | Completion:
        """The row of a request, or the `error` completion of one that can't be generated."""
        try:
            least = self._least_tokens(request)
            if least:
                sizes = f"The prompt has more than {least} tokens and the model's context {self._context}"
                return _refuse(request, least, f"{sizes}: no room is left for a completion.")
            tokens = self._tokens(request)
        except LeftOut as error:
            return _refuse(request, 0, str(error))
        except Exception as error:  # a template or a tokenizer may raise anything at all on one row
            return _refuse(request, 0, f"The prompt can't be encoded: {type(error).__name__}: {error}")
        if not tokens:
            return _refuse(request, 0, "The prompt has no tokens, and the tokenizer has no BOS token to start from.")
        if self._vocabulary is not None and max(tokens) >= self._vocabulary:
            # On a GPU the pass would take the device down with it.
            known = f"The tokenizer has made the token {max(tokens)} of the prompt, and the model knows"
            return _refuse(request, len(tokens), f"{known} {self._vocabulary} tokens, from 0.")
        room = self._most if self._context is None else self._context - len(tokens)
        if room < 1:
            sizes = f"The prompt has {len(tokens)} tokens and the model's context {self._context}"
            return _refuse(request, len(tokens), f"{sizes}: no room is left for a completion.")
        return Row(request, tokens, limit=min(room, self._most))

    def _least_tokens(self, request: Request) -> int:
        """So many tokens at least has a prompt that can't fit, found without encoding it whole; 0 if it may fit.

        Of a chat the longest text of the user is looked at, as templates leave out some of what others say.
        """
        texts = [message["content"] for message in request.messages or () if message["role"] == "user"]
        text = max([request.prompt or "", *texts], key=len)
        if self._context is None or len(text) <= max(_SLICE, self._context * _CHARACTERS_A_TOKEN):
            return 0
        least = 0
        for start in range(0, len(text), _SLICE):
            encoded = self._tokenizer(text[start : start + _SLICE], add_special_tokens=False, verbose=False)
            least += max(0, len(encoded["input_ids"]) - _SEAM)
            if least > self._context:
                return least
        return 0

    def _tokens(self, request: Request) -> list[int]:
        tokens = self._renderer.tokens(request.prompt, request.messages)
        start = self._tokenizer.bos_token_id
        return tokens if tokens or start is None else [start]


def _mark_shared(rows: list[Row]) -> None:
    """Note how many leading tokens all rows share: those that the first and the last in order share."""
    if not rows:
        return
    least, most = min(row.prompt for row in rows), max(row.prompt for row in rows)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(least, most, strict=False)))
    for row in rows:
        row.shared = min(shared, len(least) - 1)


def _refuse(request: Request, tokens: int, error: str) -> Completion:
    return Completion(request.position, "", "error", prompt_tokens=tokens, completion_tokens=0, error=error)
