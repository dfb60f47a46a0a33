"""Errors that do not come as OpenAI's."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.endpoint.server import Asked, Reply


def ok(**body: Any) -> Reply:
    """An answer with status 200 and this body."""
    return Reply(body=json.dumps(body).encode())


@dataclass
class ErrorIn200:
    """OpenRouter, LiteLLM and others answer 200, and the body is an error with the code that the status should have.

    Attributes:
        code: the code, as a number or a word.
        text: the prompt that gets it; None for all but trials.
        times: so often.
    """

    code: Any
    message: str = "Provider returned error"
    raw: str | None = None
    text: str | None = None
    times: int = 1_000_000
    more: dict[str, Any] = field(default_factory=dict)

    def __call__(self, asked: Asked) -> Reply | None:
        """The error, as long as it lasts."""
        if self.times == 0 or "lighthouse" in asked.text or self.text not in (None, asked.text):
            return None
        self.times -= 1
        metadata = {"metadata": {"provider_name": "P", "raw": self.raw}} if self.raw else {}
        return ok(error={"message": self.message, "code": self.code, **metadata, **self.more})


class ErrorInTheChoice(ErrorIn200):
    """OpenRouter again: the provider broke off, and the error is in the choice."""

    def __call__(self, asked: Asked) -> Reply | None:
        """A choice with an error in it."""
        if (told := super().__call__(asked)) is None:
            return None
        error = json.loads(told.body or b"")["error"]
        return ok(choices=[{"finish_reason": "error", "message": {"content": "half a"}, "error": error}])


@dataclass
class RefusesInput:
    """OpenRouter's moderation: 403, which names what of the input was flagged."""

    text: str

    def __call__(self, asked: Asked) -> Reply | None:
        """The refusal of this prompt."""
        if asked.text != self.text:
            return None
        metadata = {"reasons": ["violence"], "flagged_input": "prompt", "provider_name": "P"}
        error = {"code": 403, "message": "Input was flagged", "metadata": metadata}
        return Reply(403, json.dumps({"error": error}).encode())


@dataclass
class QuotaSpent:
    """OpenAI says 429 when there is no money left; it does not pass."""

    after: int = 0

    def __call__(self, asked: Asked) -> Reply | None:
        """429 with `insufficient_quota`."""
        error = {
            "message": "You exceeded your current quota.",
            "type": "insufficient_quota",
            "code": "insufficient_quota",
        }
        return Reply(429, json.dumps({"error": error}).encode()) if asked.number > self.after else None
