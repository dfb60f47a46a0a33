"""Conversations in the forms that people have them in, as messages that a chat template renders."""

from __future__ import annotations

import json
from typing import Any

from promptmill.prompts.problems import BadRowError, check_encodable, listed, shown

Message = dict[str, str]
ROLES = ("system", "user", "assistant")
_SAME_ROLE = {"developer": "system", "human": "user", "gpt": "assistant", "chatgpt": "assistant"}
_TEXT_PARTS = ("text", "input_text", "output_text")


def checked_text(column: str | None, value: Any) -> str:
    """The text of a prompt or a message.

    Raises:
        BadRowError: it is no text, or none that a model can go on from.
    """
    if not isinstance(value, str):
        raise BadRowError(column, "is null (or NaN), not text" if value is None else f"is {shown(value)}, not text")
    if not value.strip():
        raise BadRowError(column, "is empty" if column else "the template gives an empty prompt")
    if "\0" in value:
        raise BadRowError(column, f"has a NUL character at position {value.index(chr(0)) + 1}")
    check_encodable(column, value)
    return value


def checked_messages(column: str, value: Any, *, drop_last_answer: bool = False) -> list[Message]:
    """The messages of one row: a list, or the JSON text of one.

    Each has `role` and `content`, or ShareGPT's `from` and `value`. Parts of a content that are text are joined,
    `developer` is `system`, and a system message without text is left out.

    Args:
        drop_last_answer: leave out what the assistant says at the end, so that it is generated.

    Raises:
        BadRowError: it is nothing that a chat template can render, or it ends with the assistant's answer.
    """
    given = _parsed(column, value) if isinstance(value, str) else value
    if not isinstance(given, list) or not given:
        raise BadRowError(column, f"is {shown(given)}; it has to be a list of messages, each with role and content")
    checked = [_checked_message(column, index, message) for index, message in enumerate(given, 1)]
    messages = [message for message in checked if message is not None]
    while drop_last_answer and messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not messages or messages[-1]["role"] == "system":
        raise BadRowError(column, "has no message of the user; the last one has to be the user's")
    if messages[-1]["role"] != "user":
        raise BadRowError(
            column,
            "ends with a message of the assistant; the last one has to be the user's. "
            "--drop-last-answer leaves it out, and the model answers instead",
        )
    return messages


def looks_like_messages(value: Any) -> bool:
    """Whether a value is a list of messages, or the JSON text of one."""
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return False
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return False
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and _words_of(item) for item in value)


def _words_of(message: dict[str, Any]) -> tuple[str, str] | None:
    """What role and text are called in a message."""
    return next((words for words in (("role", "content"), ("from", "value")) if words[0] in message), None)


def _parsed(column: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = " (Python's own form has to be written with json.dumps)" if text.lstrip().startswith("[{'") else ""
        raise BadRowError(
            column, f"is the text {shown(text)}, which is no JSON; it has to be a list of messages{hint}"
        ) from error


def _checked_message(column: str, index: int, message: Any) -> Message | None:
    if not isinstance(message, dict):
        raise BadRowError(column, f"message {index} is {shown(message)}, not an object with role and content")
    words = _words_of(message) or ("role", "content")
    given, content = (message.get(word) for word in words)
    role = _SAME_ROLE.get(given, given) if isinstance(given, str) else given
    if role not in ROLES:
        raise BadRowError(column, f"message {index} has the role {shown(given)}; it has to be {', '.join(ROLES)}")
    others = [name for name, value in message.items() if name not in words and value is not None]
    if others:
        raise BadRowError(column, f"message {index} has {listed(others)}; only {' and '.join(words)} can be used")
    text = _joined(column, index, content) if isinstance(content, list) else content
    if role == "system" and (text is None or (isinstance(text, str) and not text.strip())):
        return None
    try:
        return {"role": role, "content": checked_text(column, text)}
    except BadRowError as error:
        raise BadRowError(column, f"the content of message {index} {error.what}") from error


def _joined(column: str, index: int, parts: list[Any]) -> str:
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _TEXT_PARTS or not isinstance(part.get("text"), str):
            what = f"a part of type {shown(kind)}" if kind not in (None, *_TEXT_PARTS) else f"the part {shown(part)}"
            raise BadRowError(column, f"the content of message {index} has {what}, which is not text")
    return "\n".join(part["text"] for part in parts)
