"""Servers whose model is not, or no longer, the one that was asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.endpoint.server import Asked, Reply, WordServer


@dataclass
class Swaps:
    """A server (Ollama, LM Studio, a router) that changes the model behind the name, with no connection cut.

    Attributes:
        after: rows that the old model makes.
    """

    server: WordServer
    after: int

    def __call__(self, asked: Asked) -> Reply | None:
        """The usual answer; from some row on the list of models says something else."""
        if len(self.server.texts) > self.after:
            self.server.root = "words-2"
        return None


@dataclass
class TellsOrigin:
    """OpenAI, OpenRouter and others: each answer says which model made it, and on what.

    Attributes:
        until: requests of the first.
    """

    until: int

    def __call__(self, asked: Asked) -> Reply:
        """An answer with `model` and `system_fingerprint`."""
        new = asked.number > self.until
        choice = {"text": f"hello {asked.body.get('seed')}", "finish_reason": "stop"}
        value = {"choices": [choice], "model": "words-0613", "system_fingerprint": "fp_b" if new else "fp_a"}
        return Reply(body=json.dumps({**value, "usage": {"prompt_tokens": 2, "completion_tokens": 2}}).encode())
