"""The rows that generation adds to a prompt, as they are committed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import pyarrow as pa

from promptmill.engine.contract import Completion, FinishReason, Request

SCHEMA = pa.schema(
    [
        pa.field("position", pa.int64(), nullable=False),
        pa.field("response", pa.string(), nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),
        pa.field("prompt_tokens", pa.int32()),
        pa.field("completion_tokens", pa.int32()),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("error", pa.string()),
    ]
)


@dataclass(frozen=True)
class Row:
    """One completion with the seed it was made with.

    Attributes:
        position: its place in the shard.
        prompt_tokens, completion_tokens: None where nobody counted them.
    """

    position: int
    response: str
    finish_reason: FinishReason
    prompt_tokens: int | None
    completion_tokens: int | None
    seed: int
    error: str | None

    @classmethod
    def of(cls, request: Request, completion: Completion) -> Row:
        """The row that a completion makes of its request."""
        values = {field.name: getattr(completion, field.name) for field in fields(cls) if field.name != "seed"}
        values |= {name: repaired(values[name]) for name in ("response", "error") if values[name] is not None}
        return cls(seed=request.seed, **values)


def repaired(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair that stands alone, as of an emoji that a limit cut.

    No file of ours could hold it: one such row would lose all that are committed with it.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def to_table(rows: list[Row], metadata: dict[str, str]) -> pa.Table:
    """The rows as an Arrow table of `SCHEMA`, with `metadata` in its schema."""
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA.with_metadata(metadata))
