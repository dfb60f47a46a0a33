"""How long the rows of a run may become, from its prepared prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from promptmill.placing.memory import Workload

TYPICAL_SHARE = 0.9
CHAT_TOKENS = 64
"""What a chat template and a short system prompt put around a prompt."""

MOST_CHARACTERS = 400_000
"""More of a prompt is not encoded for a plan: no model has so long a context."""


def workload_of(table: Path, tokenizer: Any, *, new_tokens: int, system_prompt: str | None = None) -> Workload:
    """Tokens of the prompts below which nine of ten lie, and of the longest one.

    Prompts are ranked by their characters, and two of them are encoded: the length in tokens goes with
    it closely enough for a plan, and the engine measures every row itself.
    """
    typical, longest = (_tokens(text, tokenizer) for text in _two_prompts(table))
    around = CHAT_TOKENS if tokenizer.chat_template else 0
    if system_prompt:
        around += _tokens(system_prompt, tokenizer)
    return Workload(max(1, typical) + around, new_tokens, max(1, longest, typical) + around)


def _tokens(text: str, tokenizer: Any) -> int:
    return len(tokenizer(text[:MOST_CHARACTERS], verbose=False)["input_ids"])


def _two_prompts(table: Path) -> tuple[str, str]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from promptmill.parquet import read_parquet

    kind = "prompt" if "prompt" in pq.read_schema(table).names else "messages"
    column = read_parquet(table, columns=[kind]).column(0).combine_chunks()
    sizes = pc.utf8_length(column) if kind == "prompt" else _message_lengths(column)
    order = pc.sort_indices(sizes)
    typical, longest = int((len(order) - 1) * TYPICAL_SHARE), len(order) - 1
    return _text(column[order[typical].as_py()].as_py()), _text(column[order[longest].as_py()].as_py())


def _message_lengths(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    contents = pc.struct_field(pc.list_flatten(column), "content")
    rows = pa.table({"row": pc.list_parent_indices(column), "size": pc.fill_null(pc.utf8_length(contents), 0)})
    return rows.group_by("row").aggregate([("size", "sum")]).sort_by("row")["size_sum"].combine_chunks()


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(str(message["content"] or "") for message in value)
    return str(value or "")
