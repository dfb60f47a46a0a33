"""A row on its way from request to completion."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from functools import cached_property

from promptmill.engine.contract import Completion, FinishReason, Request
from promptmill.engine.detokenise import Detokeniser

UNSOUND = "The model's logits for this row are not numbers (NaN or infinite)."
"""The error of a row that ends so."""


@dataclass(eq=False)
class Row:
    """One request, encoded, and what has been generated for it so far.

    Attributes:
        prompt: token ids, at least one.
        limit: most tokens to generate: `max_new_tokens`, or what the context leaves.
        shared: how many leading tokens all prompts that were looked at together have in common.
        alone: it was in a batch whose forward pass failed, and is now tried by itself.
        text: reads the generated tokens as text while they come; only where there are stop strings.
    """

    request: Request
    prompt: list[int]
    limit: int
    shared: int = 0
    alone: bool = False
    generated: list[int] = field(default_factory=list)
    text: Detokeniser | None = None

    @property
    def tokens(self) -> list[int]:
        """Prompt and completion so far: what a batch that takes the row anew has to compute."""
        return self.prompt + self.generated

    @cached_property
    def key(self) -> bytes:
        """The prompt's tokens in a form that is compared fast."""
        return array("q", self.prompt).tobytes()

    @property
    def whole_key(self) -> bytes:
        """The same of all tokens."""
        return self.key + array("q", self.generated).tobytes()

    @property
    def length(self) -> int:
        """How many tokens the row has by now."""
        return len(self.prompt) + len(self.generated)

    @property
    def reserve(self) -> int:
        """How many positions the row may come to need in a cache."""
        return len(self.prompt) + self.limit

    @property
    def last(self) -> int:
        """The token that the model is fed next."""
        return self.generated[-1] if self.generated else self.prompt[-1]

    def complete(self, response: str, reason: FinishReason, error: str | None = None) -> Completion:
        """The completion of this row; its tokens count with the one that ended it."""
        return Completion(
            position=self.request.position,
            response=response,
            finish_reason=reason,
            prompt_tokens=len(self.prompt),
            completion_tokens=len(self.generated),
            error=error,
        )
