"""Decides when a row has finished, and what its response is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from promptmill.engine.contract import Completion
from promptmill.engine.detokenise import Detokeniser, WithSpecialTokens, decode_after, tail, without_half
from promptmill.engine.rows import Row
from promptmill.rendering import NEWEST, Rendering
from promptmill.rendering.special import special_tokens

logger = logging.getLogger(__name__)


class Finish:
    """Ends rows at an end-of-sequence token, at a stop string, or at their limit."""

    def __init__(
        self,
        tokenizer: Any,
        ends: frozenset[int],
        stop: tuple[str, ...],
        *,
        rendering: Rendering = NEWEST,
        keep_special: bool = False,
    ) -> None:
        """`ends` are the ids that end a completion; a stop string that is a special token, and so no text, joins them.

        Other stop strings are looked for in the text: an added token may hold one among other characters.
        `keep_special`: special tokens stand in responses, but for the one that ends a row.
        """
        added = _tokens_for_stops(tokenizer, rendering)
        self._tokenizer = WithSpecialTokens(tokenizer) if keep_special else tokenizer
        self._rendering = rendering
        self._ends = ends | {added[text] for text in stop if text in added}
        self._stop = stop if rendering.version else tuple(text for text in stop if text not in added)
        self._special = {} if keep_special else special_tokens(tokenizer)
        self._left_out: set[str] = set()
        self._longest = max(map(len, self._stop), default=0)

    @property
    def ends(self) -> frozenset[int]:
        """The ids that end a completion."""
        return self._ends

    @property
    def tokenizer(self) -> Any:
        """What completions are decoded with."""
        return self._tokenizer

    @property
    def left_out(self) -> frozenset[str]:
        """The special tokens that stood inside completions, and that responses are without."""
        return frozenset(self._left_out)

    def whole(self, row: Row, tokens: Sequence[int]) -> Completion:
        """The completion of a row whose tokens were generated elsewhere, until an end, a stop string or its limit."""
        for token in tokens:
            completion = self.take(row, token)
            if completion is not None:
                return completion
        # Whoever generated them saw a stop string where this tokenizer's text has none.
        return row.complete(self._cut(self._text(row, row.generated))[0], "stop")

    def take(self, row: Row, token: int) -> Completion | None:
        """Add `token` to `row`; return its completion if that ends it."""
        row.generated.append(token)
        if token in self._ends:
            self._say_left_out(row.generated[:-1])
            return row.complete(self._cut(self._text(row, row.generated[:-1]))[0], "stop")
        if len(row.generated) < row.limit and not self._may_stop(row):
            return None
        response, stopped = self._cut(self._text(row, row.generated))
        if stopped:
            self._say_left_out(row.generated)
            return row.complete(response, "stop")
        if len(row.generated) < row.limit:
            return None
        self._say_left_out(row.generated)
        if self._rendering.version:
            response = without_half(self._tokenizer, self.before(row), row.generated, response)
        return row.complete(response, "length")

    def _text(self, row: Row, tokens: Sequence[int]) -> str:
        return decode_after(self._tokenizer, self.before(row), tokens)

    def before(self, row: Row) -> list[int]:
        """The tokens that the row's completion is read after: a plain prompt's last ones."""
        if not self._rendering.version or row.request.prompt is None:
            return []
        return tail(self._tokenizer, row.prompt)

    def _say_left_out(self, tokens: Sequence[int]) -> None:
        """Name special tokens inside completions, each once: what they keep apart runs together without them."""
        names = {self._special[token] for token in self._special.keys() & set(tokens)} - self._left_out
        if names:
            self._left_out |= names
            logger.warning(
                "The model writes special tokens inside its completions, and responses are without them: %s. "
                "What they keep apart, as reasoning and answer, stands together. --keep-special-tokens keeps them.",
                ", ".join(sorted(names)),
            )

    def _may_stop(self, row: Row) -> bool:
        if not self._stop:
            return False
        if row.text is None:
            row.text = Detokeniser(self._longest, self.before(row))
        window = row.text.grow(self._tokenizer, row.generated)
        return any(text in window for text in self._stop)

    def _cut(self, response: str) -> tuple[str, bool]:
        """The response before the first stop string, and whether there was one."""
        found = [place for text in self._stop if (place := response.find(text)) >= 0]
        return (response[: min(found)], True) if found else (response, False)


def _tokens_for_stops(tokenizer: Any, rendering: Rendering) -> dict[str, int]:
    """The added tokens that end a row where they are a stop string; under the earliest rules, all that were added."""
    added: dict[str, int] = tokenizer.get_added_vocab()
    if not rendering.version:
        return added
    special = special_tokens(tokenizer)
    return {text: number for text, number in added.items() if number in special}
