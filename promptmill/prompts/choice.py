"""Which column is the prompt, and how a row becomes one."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, Literal

from promptmill.errors import ConfigurationError
from promptmill.prompts.batches import Row
from promptmill.prompts.problems import BadRowError, check_encodable, listed, nearest, shown
from promptmill.prompts.template import PromptTemplate

Kind = Literal["prompt", "messages"]
Message = dict[str, str]
RECOGNISED = ("prompt", "messages", "instruction", "text")
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class PromptChoice:
    """How every row becomes a prompt: by a template, or from one column.

    Attributes:
        kind: `prompt` for text, `messages` for a chat.
        column: the column it is taken from; None with a template.
        template: the template; None without one.
    """

    kind: Kind
    column: str | None
    template: PromptTemplate | None = None

    @property
    def replaced(self) -> str | None:
        """The column that becomes the prompt itself and so does not travel through under its name."""
        return self.column if self.column in ("prompt", "messages") else None

    def __str__(self) -> str:
        return "the template" if self.column is None else f"column {self.column}"

    def prompt_of(self, row: Row) -> str | list[Message]:
        """The prompt, or the messages, of a row.

        Raises:
            BadRowError: the row has none, or one that no model can go on from.
        """
        if self.template is not None:
            return _checked_text(None, self.template.render(row))
        column = str(self.column)
        if column not in row:
            raise BadRowError(column, f"is missing; the columns here are {listed(row)}")
        if self.kind == "messages":
            return _checked_messages(column, row[column])
        text = _checked_text(column, row[column])
        return _with_input(text, row) if column == "instruction" else text


def choose_prompt(rows: list[Row], column: str | None, template: PromptTemplate | None) -> PromptChoice:
    """The column to take the prompts from, judged by the first rows.

    Raises:
        ConfigurationError: there is no such column, or none that can be recognised.
    """
    if template is not None:
        return PromptChoice("prompt", None, template)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    chosen = next((name for name in RECOGNISED if name in columns), None) if column is None else column
    if chosen is None:
        raise ConfigurationError(
            f"No column of the prompts is called {', '.join(RECOGNISED[:-1])} or {RECOGNISED[-1]}; "
            f"the columns are {listed(columns)}. Name the one that holds the prompt: "
            f"--prompt-column {shlex.quote(columns[0] if columns else 'NAME')}{_delimiter_hint(columns)}"
        )
    if chosen not in columns:
        raise ConfigurationError(
            f"--prompt-column {listed([chosen])[:100]} is not a column of the prompts; "
            f"the columns are {listed(columns)}."
            f"{nearest(chosen, columns)}"
        )
    first = next((row[chosen] for row in rows if row.get(chosen) is not None), None)
    return PromptChoice("messages" if isinstance(first, list) else "prompt", chosen)


def _checked_text(column: str | None, value: Any) -> str:
    if not isinstance(value, str):
        raise BadRowError(column, "is null, not text" if value is None else f"is {shown(value)}, not text")
    if not value.strip():
        raise BadRowError(column, "is empty" if column else "the template gives an empty prompt")
    if "\0" in value:
        raise BadRowError(column, f"has a NUL character at position {value.index(chr(0)) + 1}")
    check_encodable(column, value)
    return value


def _with_input(instruction: str, row: Row) -> str:
    extra = row.get("input")
    if extra is None or (isinstance(extra, str) and not extra.strip()):
        return instruction
    return f"{instruction}\n\n{_checked_text('input', extra)}"


def _checked_messages(column: str, value: Any) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise BadRowError(column, f"is {shown(value)}; it has to be a list of messages, each with role and content")
    messages = [_checked_message(column, index, message) for index, message in enumerate(value, 1)]
    if messages[-1]["role"] != "user":
        raise BadRowError(
            column, f"ends with a message of the {messages[-1]['role']}; the last one has to be the user's"
        )
    return messages


def _checked_message(column: str, index: int, message: Any) -> Message:
    if not isinstance(message, dict):
        raise BadRowError(column, f"message {index} is {shown(message)}, not an object with role and content")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise BadRowError(column, f"message {index} has the role {shown(role)}; it has to be {', '.join(ROLES)}")
    others = [name for name, value in message.items() if name not in ("role", "content") and value is not None]
    if others:
        raise BadRowError(column, f"message {index} has {listed(others)}; only role and content can be used")
    try:
        return {"role": role, "content": _checked_text(column, content)}
    except BadRowError as error:
        raise BadRowError(column, f"the content of message {index} {error.what}") from error


def _delimiter_hint(columns: list[str]) -> str:
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        return ". The header seems to have another delimiter than the comma: save with commas, or as .tsv with tabs."
    return ""
