"""How a text ended, in the words of every server."""

from __future__ import annotations

from typing import Any

from promptmill.engine.contract import FinishReason

_ENDS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "end": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "completed": "stop",
    "finish_reason_stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_length": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "finish_reason_max_tokens": "length",
}
"""OpenAI's words, and those of TGI, Anthropic, Google, Mistral, Cohere and of gateways that hand them on."""
_HELD_BACK = {"content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content", "spii",
              "refusal", "guardrail_intervened"}  # fmt: skip
_FAILED = {"abort", "aborted", "cancel", "cancelled", "canceled", "error", "failed", "incomplete", "timeout",
           "insufficient_system_resource"}  # fmt: skip


def ending(told: Any) -> FinishReason | None:
    """What a server's word stands for; None if it is unknown, or there is none."""
    return _ENDS.get(_word(told))


def is_held_back(told: Any) -> bool:
    """Whether the server kept the text, or a part of it, to itself."""
    return _word(told) in _HELD_BACK


def is_failure(told: Any) -> bool:
    """Whether the server broke off."""
    return _word(told) in _FAILED


def _word(told: Any) -> str:
    if isinstance(told, dict):
        told = told.get("type")
    return told.strip().lower() if isinstance(told, str) else ""
