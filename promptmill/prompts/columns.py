"""The columns of rows: which is likely the prompt, which looks as if it belonged to it, and what is in one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from promptmill.prompts.batches import Row
from promptmill.prompts.messages import looks_like_messages

LIKELY = ("question", "query", "problem", "task", "user", "user_prompt", "input", "content", "sentence", "body")
PARTS = (
    *("input", "context", "system", "system_prompt", "passage", "document", "background"),
    *("history", "choices", "options"),
)
"""Columns that people mean to be in the prompt when they stand beside one."""
RECOGNISED = ("prompt", "messages", "instruction", "text")
CHATS = ("conversations", "conversation", "body.messages")
"""What ShareGPT calls it, and where a line of OpenAI's batches has it."""
KNOWN_NAMES = frozenset(
    {*RECOGNISED, *CHATS, *LIKELY, *PARTS, "id", "prompt_id", "index", "label", "answer", "response"}
)
_DEEPEST = 3
_ANSWERS = ("answer", "response", "output", "completion", "label", "id", "url")


def value_at(row: Row, path: str) -> Any:
    """The value of a column, or of a dotted path such as `body.messages` into its objects.

    Raises:
        KeyError: there is none.
    """
    if path in row:
        return row[path]
    column, dot, rest = path.partition(".")
    while dot:
        if isinstance(row.get(column), dict):
            try:
                return value_at(row[column], rest)
            except KeyError:
                pass
        more, dot, rest = rest.partition(".")
        column = f"{column}.{more}"
    raise KeyError(path)


def values_at(rows: Sequence[Row], path: str) -> list[Any]:
    """The values at a path that are not null, of the rows that have any."""
    found = []
    for row in rows:
        try:
            found.append(value_at(row, path))
        except KeyError:
            continue
    return [value for value in found if value is not None]


def has_path(rows: Sequence[Row], path: str) -> bool:
    """Whether any of the rows has this column or path."""
    for row in rows:
        try:
            value_at(row, path)
        except KeyError:
            continue
        return True
    return False


def is_filled(value: Any) -> bool:
    """Whether a value is text with something in it, or a list or object that is not empty."""
    return bool(value.strip()) if isinstance(value, str) else isinstance(value, (list, dict)) and bool(value)


def likely_prompt(rows: Sequence[Row]) -> str | None:
    """The column, or the path into one, that most likely holds the prompts; None if none holds text in every row.

    Messages first, then a name that people give to prompts, then the longest text that is no answer.
    """
    values = {path: values_at(rows, path) for path in dict.fromkeys(path for row in rows for path in _paths(row))}
    chats = [path for path, found in values.items() if len(found) == len(rows) and all(map(looks_like_messages, found))]
    texts = [path for path, found in values.items() if len(found) == len(rows) and all(map(_is_text, found))]
    named = [path for name in LIKELY for path in texts if path.rpartition(".")[2].lower() == name]
    others = [path for path in texts if not any(name in path.lower() for name in _ANSWERS)]
    others.sort(key=lambda path: -sum(map(len, values[path])))
    return next(iter((*chats, *named, *others, *texts)), None)


def option(name: str, value: str) -> str:
    """An option as it can be copied into a shell."""
    return f"{name}={shlex.quote(value)}" if value.startswith("-") else f"{name} {shlex.quote(value)}"


def in_template(column: str) -> str:
    """A column as a template writes it."""
    return f"{{{{ {column} }}}}" if column.isidentifier() else f"{{{{ row[{column!r}] }}}}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _paths(row: Row, depth: int = 0) -> Iterator[str]:
    for name, value in row.items():
        yield name
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from (f"{name}.{path}" for path in _paths(value, depth + 1))
