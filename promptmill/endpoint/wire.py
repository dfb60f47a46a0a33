"""Requests as OpenAI's API takes them, and its answers: everything about the format is here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from promptmill.endpoint.faults import Broken, Refused
from promptmill.endpoint.record import About, Api
from promptmill.engine.contract import FinishReason, Message
from promptmill.sampling import SamplingParameters

PATHS: dict[Api, str] = {"chat": "chat/completions", "completions": "completions"}
SEEDS = 2**31
"""Servers take seeds of different sizes; all of them take 31 bits."""
_SHOWN = 300
_ENDS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
}
_OF_WEIGHTS = ("n_params", "size", "n_vocab", "n_embd", "n_ctx_train", "ftype")


@dataclass(frozen=True)
class Answer:
    """A completion as the server gave it; tokens are None where it did not count them."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int | None
    completion_tokens: int | None


def settings_of(model: str, sampling: SamplingParameters) -> dict[str, Any]:
    """What every request of a run says: the model and how to sample.

    What is off is left out where it is not OpenAI's own: a strict server would refuse it.
    """
    knobs: dict[str, Any] = {
        "model": model,
        "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": 1.0 if sampling.greedy else sampling.top_p,
    }
    if sampling.stop:
        knobs["stop"] = list(sampling.stop)
    if sampling.top_k:
        knobs["top_k"] = sampling.top_k
    if sampling.min_p:
        knobs["min_p"] = sampling.min_p
    if sampling.repetition_penalty != 1:
        # vLLM, SGLang and TGI know it by the first name, llama.cpp and what is built on it by the second.
        knobs["repetition_penalty"] = knobs["repeat_penalty"] = sampling.repetition_penalty
    return knobs


def body(settings: dict[str, Any], prompt: str | None, messages: tuple[Message, ...] | None, seed: int) -> bytes:
    """The request as it is sent."""
    text = {"prompt": prompt} if messages is None else {"messages": list(messages)}
    return json.dumps({**settings, **text, "seed": seed % SEEDS}).encode()


def answer_of(content: bytes, *, most: int) -> Answer:
    """The completion in an answer with status 200.

    Args:
        most: `max_tokens`; tells how the text ended where the server does not.

    Raises:
        Broken: it is none.
        Refused: the server held the text back.
    """
    value = _object(content)
    if value.get("error"):
        raise Broken(f"the server answers with an error: {message_of(content)}")
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Broken(f"the answer has no choices: {shortened(content)}")
    usage = _part(value, "usage")
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    text, reason = _text(choices[0]), choices[0].get("finish_reason")
    if reason == "content_filter":
        raise Refused("the server's filter held the response back (finish_reason content_filter)")
    if reason is None and text:
        reason = "length" if completion is not None and completion >= most else "stop"
    if reason not in _ENDS:
        raise Broken(f"the answer ended with finish_reason {reason!r}: {shortened(content)}")
    return Answer(text or "", _ENDS[reason], prompt, completion)


def about(content: bytes, model: str) -> About:
    """What a server's list of models says of this one, as far as it is of the weights and not of the place."""
    entry = _entry(_entries(content), model)
    meta = _part(entry, "meta")
    found = {name: entry.get(name) for name in ("root", "parent", "owned_by")}
    found |= {name: meta.get(name) for name in _OF_WEIGHTS}
    return {name: _placeless(value) for name, value in found.items() if isinstance(value, str | int)}


def _entry(entries: Sequence[dict[str, Any]], model: str) -> dict[str, Any]:
    for entry in entries:
        if entry.get("id") == model:
            return entry
    # llama.cpp answers to any name with the one model that it has loaded, and tells its sizes.
    if len(entries) == 1 and any(name in _part(entries[0], "meta") for name in _OF_WEIGHTS):
        return entries[0]
    return {}


def names(content: bytes) -> list[str]:
    """The models that a server says it has."""
    return [str(entry["id"]) for entry in _entries(content) if entry.get("id")]


def message_of(content: bytes) -> str:
    """What an answer says that went wrong, in whichever of the usual places."""
    try:
        value = _object(content)
    except Broken:
        return shortened(content)
    error = value.get("error")
    if isinstance(error, dict):
        error = error.get("message") or error
    told = error or value.get("message") or value.get("detail")
    return shortened(str(told).encode()) if told else shortened(content)


def shortened(content: bytes) -> str:
    """The beginning of an answer on one line."""
    text = " ".join(content.decode("utf-8", "replace").split())
    if not text:
        return "nothing at all"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise Broken(f"the answer is no JSON: {shortened(content)}") from error
    if not isinstance(value, dict):
        raise Broken(f"the answer is no JSON object: {shortened(content)}")
    return value


def _part(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _entries(content: bytes) -> list[dict[str, Any]]:
    try:
        found = _object(content).get("data")
    except Broken:
        return []
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _text(choice: dict[str, Any]) -> str | None:
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    return text if isinstance(text, str) else None


def _count(usage: dict[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if type(value) is int and 0 <= value < 2**31 else None


def _placeless(value: str | int) -> str | int:
    """A folder by its name: the same model may lie elsewhere on the next node."""
    return value.rstrip("/").rsplit("/", 1)[-1] if isinstance(value, str) and value.startswith("/") else value
