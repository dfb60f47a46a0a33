"""Which column is the prompt, and how a row becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from promptmill.errors import ConfigurationError
from promptmill.prompts.batches import Row
from promptmill.prompts.columns import (
    CHATS,
    PARTS,
    RECOGNISED,
    has_path,
    in_template,
    is_filled,
    likely_prompt,
    option,
    value_at,
    values_at,
)
from promptmill.prompts.messages import Message, checked_messages, checked_text, looks_like_messages
from promptmill.prompts.options import PromptOptions
from promptmill.prompts.problems import BadRowError, listed, nearest
from promptmill.prompts.template import PromptTemplate

Kind = Literal["prompt", "messages"]
_CHAT_NAMES = ("messages", "conversations", "conversation")
_BESIDE_INSTRUCTION = ("input", "context")
_SYSTEM = ("system_prompt", "system")


@dataclass(frozen=True)
class PromptChoice:
    """How every row becomes a prompt: by a template, or from one column.

    Attributes:
        kind: `prompt` for text, `messages` for a chat.
        column: the column, or the dotted path into one, that it is taken from; None with a template.
        template: the template; None without one.
        chat: whether what is taken is messages; else it is text.
        system: the column that holds the row's system prompt; None if there is none.
        beside: the columns whose text comes after an instruction.
        drop_last_answer: whether the assistant's last turn is left out.
    """

    kind: Kind
    column: str | None
    template: PromptTemplate | None = None
    chat: bool = False
    system: str | None = None
    beside: tuple[str, ...] = ()
    drop_last_answer: bool = False

    @property
    def replaced(self) -> str | None:
        """The column that becomes the prompt itself and so does not travel through under its name."""
        return self.column if self.column in ("prompt", "messages") and not self.drop_last_answer else None

    @property
    def used(self) -> frozenset[str]:
        """The columns that are in the prompt."""
        return frozenset({*self.beside, *(name for name in (self.column, self.system) if name is not None)})

    def __str__(self) -> str:
        if self.column is None:
            return "the template"
        beside = f" with {' and '.join(self.beside)} after it" if self.beside else ""
        system = f" and the system prompt from column {self.system}" if self.system else ""
        last = ", without the last answer" if self.drop_last_answer else ""
        return f"column {self.column}{beside}{system}{last}"

    def prompt_of(self, row: Row) -> str | list[Message]:
        """The prompt, or the messages, of a row.

        Raises:
            BadRowError: the row has none, or one that no model can go on from.
        """
        if self.template is not None:
            return checked_text(None, self.template.render(row))
        column = str(self.column)
        try:
            value = value_at(row, column)
        except KeyError:
            raise BadRowError(column, f"is missing; the columns here are {listed(row)}") from None
        if self.chat:
            return self._with_system(checked_messages(column, value, drop_last_answer=self.drop_last_answer), row)
        text = "\n\n".join([checked_text(column, value), *self._texts_beside(row)])
        if self.kind == "prompt":
            _refuse_late_system(row, column)
            return text
        return self._with_system([{"role": "user", "content": text}], row)

    def _texts_beside(self, row: Row) -> list[str]:
        values = {name: row.get(name) for name in self.beside}
        return [
            checked_text(name, value)
            for name, value in values.items()
            if value is not None and not (isinstance(value, str) and not value.strip())
        ]

    def _with_system(self, messages: list[Message], row: Row) -> list[Message]:
        """The messages after the row's own system prompt, where it has one and they have none."""
        given = None if self.system is None else row.get(self.system)
        if given is None or (isinstance(given, str) and not given.strip()):
            return messages
        text = checked_text(self.system, given)
        if messages[0]["role"] != "system":
            return [{"role": "system", "content": text}, *messages]
        if messages[0]["content"].strip() != text.strip():
            raise BadRowError(
                self.system, f"is not the system message that stands in {self.column}; leave one of them out"
            )
        return messages


def choose_prompt(rows: list[Row], options: PromptOptions, template: PromptTemplate | None) -> PromptChoice:
    """The column to take the prompts from, judged by the first rows.

    Raises:
        ConfigurationError: there is no such column, or none that can be recognised.
    """
    if template is not None and options.drop_last_answer:
        raise ConfigurationError(
            "--drop-last-answer is for messages, and --template makes text. Leave one of them out."
        )
    if template is not None:
        return PromptChoice("prompt", None, template)
    chosen = _recognised(rows, options.source) if options.column is None else _given(rows, options.column)
    chat = _is_chat(chosen, values_at(rows, chosen))
    system = next((name for name in _SYSTEM if name != chosen and any(map(_is_text, values_at(rows, name)))), None)
    if options.drop_last_answer and not chat:
        raise ConfigurationError(
            f"--drop-last-answer is for messages, and column {chosen} of the prompts holds text. Leave it out."
        )
    return PromptChoice(
        "messages" if chat or system else "prompt",
        chosen,
        chat=chat,
        system=system,
        beside=_beside_instruction(rows) if chosen == "instruction" and not chat else (),
        drop_last_answer=options.drop_last_answer,
    )


def left_out(rows: list[Row], choice: PromptChoice) -> str | None:
    """A sentence about columns that are not in the prompt and look as if they should be; None if there are none."""
    in_prompt = choice.used if choice.template is None else choice.template.names
    if in_prompt is None:
        return None
    missed = [name for name in PARTS if name not in in_prompt and any(map(is_filled, values_at(rows, name)))]
    if not missed:
        return None
    said = f"{listed(missed)} {'is' if len(missed) == 1 else 'are'} not in the prompt"
    if choice.template is not None or choice.chat:
        return said
    parts = " ".join(map(in_template, [str(choice.column), *missed]))
    return f"{said}; a template takes in whatever it names: {option('--template', parts)}"


def _recognised(rows: list[Row], source: str) -> str:
    chosen = next((name for name in (*RECOGNISED, *CHATS) if has_path(rows, name)), None)
    if chosen is not None:
        return chosen
    columns = list(dict.fromkeys(name for row in rows for name in row))
    likely = likely_prompt(rows)
    headless = len(columns) == 1 and any(f".{ending}" in source for ending in ("csv", "tsv"))
    raise ConfigurationError(
        f"No column of the prompts is called {', '.join(RECOGNISED[:-1])} or {RECOGNISED[-1]}; "
        f"the columns are {listed(columns)}. "
        + (
            f"Name the one that holds the prompt: {option('--prompt-column', likely)}"
            if likely is not None
            else "None of them has text in every row; --template makes a prompt of several, as in "
            "--template 'What is {{ name }}?'"
        )
        + (" If the first line is a prompt itself, put the line `prompt` before it." if headless else "")
        + _delimiter_hint(columns)
    )


def _given(rows: list[Row], column: str) -> str:
    if has_path(rows, column):
        _refuse_objects(rows, column)
        return column
    columns = list(dict.fromkeys(name for row in rows for name in row))
    raise ConfigurationError(
        f"--prompt-column {listed([column])[:100]} is not a column of the prompts; "
        f"the columns are {listed(columns)}."
        f"{nearest(column, columns)}"
    )


def _refuse_objects(rows: list[Row], column: str) -> None:
    values = values_at(rows, column)
    if values and all(isinstance(value, dict) for value in values):
        within = likely_prompt(values)
        name = (
            f"name what is in them: {option('--prompt-column', f'{column}.{within}')}" if within else "it has no text"
        )
        raise ConfigurationError(f"--prompt-column {column} holds objects, not text or messages; {name}")


def _is_chat(column: str, values: list[Any]) -> bool:
    if column.rpartition(".")[2] in _CHAT_NAMES or any(isinstance(value, list) for value in values[:1]):
        return True
    return bool(values) and all(map(looks_like_messages, values))


def _beside_instruction(rows: list[Row]) -> tuple[str, ...]:
    """Alpaca's `input`, and Dolly's `context` where it is text."""
    return tuple(
        name
        for name in _BESIDE_INSTRUCTION
        if name == "input" or all(isinstance(value, str) for value in values_at(rows, name))
        if has_path(rows, name)
    )


def _refuse_late_system(row: Row, column: str) -> None:
    late = next((name for name in _SYSTEM if name != column and _is_text(row.get(name))), None)
    if late is not None:
        raise BadRowError(
            late,
            "has a system prompt, and no row at the beginning of the prompts has one; move this one to the front, "
            "or write a --template, which takes in what it names alone",
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _delimiter_hint(columns: list[str]) -> str:
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        return ". The header seems to have another delimiter than the comma: save with commas, or as .tsv with tabs."
    return ""
