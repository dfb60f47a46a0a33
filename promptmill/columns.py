"""The columns of a dataset that hold prompt and answer: as people read them, or as trainers take them.

The two forms for trainers are those of TRL (https://huggingface.co/docs/trl/dataset_formats): a conversation, and a
prompt with its completion.
"""

from __future__ import annotations

import logging
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from promptmill.errors import ConfigurationError
from promptmill.files import read_json, write_json
from promptmill.generate import PromptForm
from promptmill.prompts.messages import Message
from promptmill.prompts.prepared import MESSAGES, PreparedPrompt
from promptmill.run import RunFolder

logger = logging.getLogger(__name__)

FLAT, CONVERSATION, PROMPT_COMPLETION = LAYOUTS = ("flat", "messages", "prompt-completion")
_OWN = {FLAT: ("prompt", "response"), CONVERSATION: ("messages",), PROMPT_COMPLETION: ("prompt", "completion")}


def checked_layout(columns: str | None) -> str | None:
    """The value of `--columns`.

    Raises:
        ConfigurationError: it is none of the choices.
    """
    if columns is not None and columns not in LAYOUTS:
        raise ConfigurationError(f"--columns is {columns!r}; choose one of {', '.join(LAYOUTS)}.")
    return columns


def layout_of(run: RunFolder) -> str | None:
    """How the rows of a run are laid out; None for `prompt` or `messages` beside `response`, as it once was."""
    value = read_json(run.record) or {}
    layout: str | None = value.get("columns")
    return layout


def choose_layout(run: RunFolder, columns: str | None) -> None:
    """Lay the rows of a begun run out otherwise from now on, if that is asked for.

    Raises:
        ConfigurationError: the dataset is published, and others may have read its columns.
    """
    record = read_json(run.record)
    if columns is None or record is None or columns == record.get("columns"):
        return  # a record that is damaged is told by who needs it
    begun = record.get("columns") or FLAT
    if run.published.exists():
        raise ConfigurationError(
            f"The dataset of {run.path} is published with --columns {begun}, and --columns {columns} would change it "
            f"for those who read it. Give --columns {begun}, or another --name for a dataset of its own."
        )
    write_json(run.record, {**record, "columns": columns})
    logger.warning("The rows of %s were laid out with --columns %s, and are now with %s.", run.path, begun, columns)


def leaves_out_errors(layout: str | None) -> bool:
    """Whether a dataset has no rows that ended in error, as they have no answer to train on."""
    return layout in (CONVERSATION, PROMPT_COMPLETION)


def own_names(layout: str | None, kind: str) -> tuple[str, ...]:
    """The columns that hold prompt and answer, where prepared prompts are of this kind."""
    return (kind, "response") if layout is None else _OWN[layout]


def prompt_and_answer(
    layout: str | None, given: pa.ChunkedArray, kind: str, responses: pa.ChunkedArray, form: PromptForm
) -> dict[str, Any]:
    """The columns that hold prompt and answer.

    Args:
        given: the prepared prompt of each row.
        kind: `prompt` if that is text, `messages` if it is a conversation.
        form: how a prepared prompt became what the model was given.
    """
    if layout is None or (layout == FLAT and kind == "prompt"):
        return {kind: given, "response": responses}
    if layout == FLAT:
        return {"prompt": pa.array(_asked(given, form), MESSAGES), "response": responses}
    if layout == PROMPT_COMPLETION and not form.chat:
        return {"prompt": given, "completion": responses}
    asked = _asked(given, form)
    answers = [[{"role": "assistant", "content": answer}] for answer in responses.to_pylist()]
    if layout == PROMPT_COMPLETION:
        return {"prompt": pa.array(asked, MESSAGES), "completion": pa.array(answers, MESSAGES)}
    whole = [[*messages, *answer] for messages, answer in zip(asked, answers, strict=True)]
    return {"messages": pa.array(whole, MESSAGES)}


def answered(table: pa.Table) -> pa.Table:
    """The rows that did not end in error."""
    return table.filter(pc.not_equal(table["finish_reason"], "error"))


def shown_prompt(row: dict[str, Any]) -> str | list[dict[str, Any]] | None:
    """What a dataset's row says that the model was given, whatever its layout."""
    if "prompt" in row:
        prompt: str | list[dict[str, Any]] | None = row["prompt"]
        return prompt
    messages: list[dict[str, Any]] | None = row.get("messages")
    return messages if messages is None or "response" in row else messages[:-1]


def shown_answer(row: dict[str, Any]) -> str:
    """What a dataset's row says that the model answered, whatever its layout."""
    answer: Any = row.get("response", row.get("completion", row.get("messages")))
    return str(answer if isinstance(answer, str) else answer[-1]["content"])


def _asked(given: pa.ChunkedArray, form: PromptForm) -> list[list[Message]]:
    return [list(form.conversation(_prepared(value))) for value in given.to_pylist()]


def _prepared(value: Any) -> PreparedPrompt:
    return PreparedPrompt("", value, None) if isinstance(value, str) else PreparedPrompt("", None, tuple(value))
