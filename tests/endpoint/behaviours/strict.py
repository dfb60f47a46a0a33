"""Servers that take less than OpenAI's API has: each refuses what it does not know, or what is out of its range."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.endpoint.server import Asked, Reply


def refusal(message: str, status: int = 400) -> Reply:
    """An error in OpenAI's form."""
    return Reply(status, json.dumps({"error": {"message": message}}).encode())


@dataclass(frozen=True)
class Strict:
    """Refuses bodies that have something about them.

    Attributes:
        wrong: what it says to a body; nothing if it takes it.
    """

    wrong: Callable[[dict[str, Any]], str | None]
    status: int = 400

    def __call__(self, asked: Asked) -> Reply | None:
        """The refusal; None is the usual answer."""
        said = self.wrong(asked.body)
        return refusal(said, self.status) if said else None


def _known(*names: str) -> Callable[[dict[str, Any]], str | None]:
    known = {"model", "prompt", "messages", "max_tokens", "temperature", "top_p", "stop", "stream", *names}
    return lambda body: f"extra fields not permitted: {set(body) - known}" if set(body) - known else None


NO_SEED = Strict(_known(), 422)
"""Mistral (`random_seed`) and others built on pydantic: extra fields are forbidden."""
TGI = Strict(lambda body: "`top_p` must be > 0.0 and < 1.0" if body.get("top_p") == 1 else None, 422)
"""Text Generation Inference."""
UP_TO_ONE = Strict(lambda body: "temperature: 0 to 1" if body["temperature"] > 1 else None)
"""Anthropic, Cohere, and gateways to them."""
ONE_ALONE = Strict(lambda body: "Only the default (1) value is supported" if body["temperature"] != 1 else None)
"""OpenAI's reasoning models: temperature."""
COMPLETION_TOKENS = Strict(
    lambda body: (
        "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead." if "max_tokens" in body else None
    )
)
"""OpenAI's reasoning models: the limit of tokens counts thoughts."""
FOUR_STOPS = Strict(lambda body: "'stop': array too long" if len(body.get("stop", ())) > 4 else None)
"""OpenAI and Azure."""
NOT_SHORT = Strict(
    lambda body: (
        "could not finish the message: max_tokens reached"
        if body.get("max_tokens", body.get("max_completion_tokens")) < 32
        else None
    )
)
"""OpenAI's reasoning models again: 400 where the tokens do not do for the thoughts."""
ONE_PENALTY = Strict(_known("seed", "repetition_penalty"))
"""A server that knows but one of the two names, and forbids the other."""
LOW_PENALTY = Strict(lambda body: "repetition_penalty: 0 to 2" if body.get("repetition_penalty", 1) > 2 else None)
"""OpenRouter."""
NOT_STREAMED = Strict(lambda body: "stream has to be false" if body.get("stream") is not False else None)
"""For those that stream unless told not to."""
EVERYTHING = Strict(
    lambda body: (
        _known("max_completion_tokens")(body)
        or COMPLETION_TOKENS.wrong(body)
        or TGI.wrong(body)
        or FOUR_STOPS.wrong(body)
    )
)
"""Several at once, as a gateway in front of a gateway has it."""
