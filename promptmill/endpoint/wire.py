"""Requests as OpenAI's API takes them, and its answers: everything about the format is here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptmill.endpoint.endings import ending, is_failure, is_held_back
from promptmill.endpoint.faults import Broken, Refused
from promptmill.endpoint.judging import MISSING, code_of, judged
from promptmill.endpoint.record import About, Api
from promptmill.endpoint.said import Said, shortened
from promptmill.engine.contract import FinishReason, Message
from promptmill.errors import NotFound
from promptmill.sampling import SamplingParameters

PATHS: dict[Api, str] = {"chat": "chat/completions", "completions": "completions"}
SEEDS = 2**31
"""Servers take seeds of different sizes; all of them take 31 bits."""
_OF_WEIGHTS = ("n_params", "size", "n_vocab", "n_embd", "n_ctx_train", "ftype")


@dataclass(frozen=True)
class Answer:
    """A completion as the server gave it; tokens are None where it did not count them.

    Attributes:
        reasoning: what the model thought before, where the server tells it apart from the text.
        origin: what the answer says made it: `model` and `system_fingerprint`.
        unknown: the word for its end, if it is one that nobody knows.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning: str = ""
    origin: tuple[tuple[str, str], ...] = ()
    unknown: str | None = None


@dataclass(frozen=True)
class Listed:
    """What a server's list of models says.

    Attributes:
        about: of this model, as far as it is of the weights and not of the place.
        names: of all that it has.
    """

    about: About
    names: tuple[str, ...] = ()


def settings_of(model: str, sampling: SamplingParameters) -> dict[str, Any]:
    """What every request of a run says: the model and how to sample.

    What is off is left out where it is not OpenAI's own: a strict server would refuse it.
    """
    knobs: dict[str, Any] = {
        "model": model,
        "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
    }
    if not sampling.greedy:
        # At temperature 0 it means nothing, and TGI refuses a 1. Else it is said even if it is 1, which is off: many
        # servers have a default of their own, or one of the model's.
        knobs["top_p"] = sampling.top_p
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


def body(settings: dict[str, Any], prompt: str | None, messages: tuple[Message, ...] | None, seed: int | None) -> bytes:
    """The request as it is sent; without a seed if that is None."""
    text = {"prompt": prompt} if messages is None else {"messages": list(messages)}
    drawn = {} if seed is None else {"seed": seed % SEEDS}
    # Some servers stream unless they are told not to.
    return json.dumps({**settings, **text, **drawn, "stream": False}).encode()


def answer_of(said: Said, base: str, *, most: int) -> Answer:
    """The completion in an answer with status 200.

    Args:
        most: `max_tokens`; tells how the text ended where the server does not.

    Raises:
        Broken: it is none.
        Refused: the server held the text back.
        Fault, AccessDenied: it is an error, which is what its code says.
    """
    if not isinstance(said.value, dict):
        raise Broken(f"the answer is no JSON{' object' if said.value is not None else ''}: {said.shown}")
    choices = said.value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    error = said.value.get("error") or (choice or {}).get("error")
    if error:
        raise _judged(error, said, base)
    if choice is None:
        raise Broken(f"the answer has no choices: {said.shown}")
    text, reasoning = _written(choice, said)
    told = choice.get("finish_reason")
    if is_held_back(told):
        raise Refused(f"the server's filter held the response back (finish_reason {shortened(str(told))})")
    prompt, completion = _counts(_part(said.value, "usage"), written=bool(text or reasoning))
    reason = ending(told)
    if reason is None and text and not is_failure(told):
        reason = "length" if completion is not None and completion >= most else "stop"
    if reason is None:
        raise Broken(f"the answer ended with finish_reason {shortened(repr(told))}: {said.shown}")
    unknown = shortened(str(told)) if told and ending(told) is None else None
    return Answer(text or "", reason, prompt, completion, reasoning, _origin(said.value), unknown)


def _judged(error: Any, said: Said, base: str) -> Exception:
    whole = replace(said, value={"error": error})
    code = code_of(error)
    if code in MISSING:
        return NotFound(f"The server at {base} answers with an error {code}: {whole.message}. Choose another --model.")
    if code is None:
        return Broken(f"the server answers with an error: {whole.message}")
    return judged(code, whole, base)


def listed(said: Said, model: str) -> Listed:
    """What a server's list of models says of this one."""
    entries = _entries(said.value)
    return Listed(about(said.value, model), tuple(str(entry["id"]) for entry in entries if entry.get("id")))


def about(value: Any, model: str) -> About:
    """What a list of models says of one, as far as it is of the weights and not of the place."""
    entry = _entry(_entries(value), model)
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


def _part(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _entries(value: Any) -> list[dict[str, Any]]:
    found = value.get("data") if isinstance(value, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _written(choice: dict[str, Any], said: Said) -> tuple[str | None, str]:
    """The text, and the reasoning before it.

    Raises:
        Broken: it is neither text, nor parts of text, nor null.
    """
    if "message" in choice:
        message = choice["message"]
        if not isinstance(message, dict):
            raise Broken(f"the answer has a message that is none: {said.shown}")
        content = message.get("content")
        thought = message.get("reasoning_content") or message.get("reasoning")
    elif "text" in choice:
        content, thought = choice["text"], choice.get("reasoning_content")
    else:
        raise Broken(f"the answer has no message and no text: {said.shown}")
    reasoning = thought if isinstance(thought, str) else ""
    if content is None or isinstance(content, str):
        return content, reasoning
    if not isinstance(content, list):
        raise Broken(f"the answer's content is neither text nor null: {said.shown}")
    parts = [_part_of_text(part, said) for part in content]
    return "".join(text for text, _ in parts), reasoning + "".join(thought for _, thought in parts)


def _part_of_text(part: Any, said: Said) -> tuple[str, str]:
    """A part's text and reasoning, as Mistral, Anthropic and OpenAI's Responses have them."""
    if isinstance(part, str):
        return part, ""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "output_text") and isinstance(part.get("text"), str):
        return part["text"], ""
    if kind in ("thinking", "reasoning", "redacted_thinking"):
        thought = part.get(kind) or part.get("text") or ""
        inner = thought if isinstance(thought, list) else [thought]
        return "", "".join(_part_of_text(one, said)[0] for one in inner)
    raise Broken(f"the answer's content has a part that is no text: {said.shown}")


def _origin(value: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    found = ((name, value.get(name)) for name in ("model", "system_fingerprint"))
    return tuple((name, shortened(told)) for name, told in found if isinstance(told, str) and told)


def _counts(usage: dict[str, Any], *, written: bool) -> tuple[int | None, int | None]:
    """Tokens of prompt and completion; zeros beside a text are what a server says that does not count."""
    prompt, completion = _count(usage, "prompt_tokens") or None, _count(usage, "completion_tokens")
    return prompt, completion or (None if written or prompt is None else completion)


def _count(usage: dict[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if type(value) is int and 0 <= value < 2**31 else None


def _placeless(value: str | int) -> str | int:
    """A folder by its name: the same model may lie elsewhere on the next node."""
    return value.rstrip("/").rsplit("/", 1)[-1] if isinstance(value, str) and value.startswith("/") else value
