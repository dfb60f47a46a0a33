"""Answers whose text, end or count is not where OpenAI's are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.endpoint.behaviours.errors import ok
from tests.endpoint.server import Asked, Reply


@dataclass
class Says:
    """A chat that always answers with this content.

    Attributes:
        content: of the message, or the text.
        reason: `finish_reason`.
        usage: tokens, None for no word of them.
        more: other fields of the message.
    """

    content: Any
    reason: Any = "stop"
    usage: Any = None
    more: dict[str, Any] | None = None

    def __call__(self, asked: Asked) -> Reply | None:
        """The answer; trials get the usual one."""
        if "lighthouse" in asked.text:
            return None
        message = {"role": "assistant", "content": self.content, **(self.more or {})}
        choice = {"text": self.content} if "prompt" in asked.body else {"message": message}
        usage = {"usage": self.usage} if self.usage is not None else {}
        return ok(choices=[{**choice, "finish_reason": self.reason}], **usage)


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm. "}], "closed": True}
MISTRAL = [THINKING, {"type": "text", "text": "Hello, "}, {"type": "text", "text": "world"}]
"""Mistral's reasoning models, through LiteLLM and vLLM: content is a list of parts."""


@dataclass
class ThinksFirst:
    """DeepSeek, Qwen and others behind vLLM: `reasoning_content` eats `max_tokens`, and then comes the text.

    Attributes:
        thoughts: tokens of reasoning.
    """

    thoughts: int

    def __call__(self, asked: Asked) -> Reply:
        """Null until there are enough tokens."""
        most = asked.body["max_tokens"]
        seed = asked.body.get("seed")
        message = {"role": "assistant", "content": None, "reasoning_content": f"{seed} hm" * min(most, self.thoughts)}
        if most > self.thoughts:
            message["content"] = f"text {seed}"
        usage = {"prompt_tokens": 3, "completion_tokens": min(most, self.thoughts + 2)}
        choice = {"message": message, "finish_reason": "stop" if most > self.thoughts else "length"}
        return ok(choices=[choice], usage=usage)


@dataclass
class StopsCounting:
    """A gateway that tells `usage` for the first requests, and none or zeros after that.

    Attributes:
        after: rows that it counts.
    """

    after: int
    zeros: bool = False
    rows: int = 0

    def __call__(self, asked: Asked) -> Reply | None:
        """An answer without a count."""
        if "lighthouse" in asked.text:
            return None
        self.rows += 1
        if self.rows <= self.after:
            return None
        usage = {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}} if self.zeros else {}
        return ok(choices=[{"text": "hello", "finish_reason": "stop"}], **usage)
