"""The prepared prompts: one Parquet file, read in slices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from promptmill.errors import NotFound, StorageError
from promptmill.prompts.choice import Kind
from promptmill.prompts.messages import Message

MESSAGES = pa.list_(pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())]))


@dataclass(frozen=True)
class UserColumn:
    """A column of the user's that travels through: its name in the source, and in the dataset."""

    original: str
    name: str


@dataclass(frozen=True)
class PreparedPrompts:
    """What was prepared.

    Attributes:
        rows: how many prompts.
        sha256: of the prompts and the user's columns, row by row as canonical JSON; it does not
            depend on how Parquet encodes them.
        kind: whether the file has the column `prompt` (text) or `messages`.
        columns: the user's columns, in the order of the file.
        source: the source as it was typed.
        revision: the commit of a Hub dataset; None for files.
    """

    rows: int
    sha256: str
    kind: Kind
    columns: tuple[UserColumn, ...]
    source: str
    revision: str | None

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; `from_json` gives the same back."""
        return {**asdict(self), "columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PreparedPrompts:
        """What `to_json` wrote."""
        return cls(**{**value, "columns": tuple(UserColumn(**column) for column in value["columns"])})


@dataclass(frozen=True)
class PreparedPrompt:
    """One prompt: exactly one of `prompt` and `messages` is set."""

    prompt_id: str
    prompt: str | None
    messages: tuple[Message, ...] | None


def read_prepared(path: Path, start: int, stop: int) -> Iterator[PreparedPrompt]:
    """The prompts at positions `start` up to before `stop`, one row group in memory at a time.

    Raises:
        NotFound, StorageError: the file is not there, is damaged, or has fewer rows.
    """
    for table in _slices(path, start, stop, own_columns=True):
        second = table.column(1).to_pylist()
        for prompt_id, value in zip(table.column(0).to_pylist(), second, strict=True):
            if isinstance(value, str):
                yield PreparedPrompt(prompt_id, value, None)
            else:
                yield PreparedPrompt(prompt_id, None, tuple(value))


def prepared_table(path: Path, start: int, stop: int) -> pa.Table:
    """The rows at positions `start` up to before `stop` with all columns, the user's too.

    Raises:
        NotFound, StorageError: the file is not there, is damaged, or has fewer rows.
    """
    with _opened(path) as parquet:
        schema = parquet.schema_arrow
    return pa.concat_tables([schema.empty_table(), *_slices(path, start, stop, own_columns=False)])


def _slices(path: Path, start: int, stop: int, *, own_columns: bool) -> Iterator[pa.Table]:
    with _opened(path) as parquet:
        if not 0 <= start <= stop <= parquet.metadata.num_rows:
            raise StorageError(
                f"{path} has {parquet.metadata.num_rows} prompts, not {start} to {stop}. "
                "It was made for other settings: delete it and start the same command again."
            )
        columns = parquet.schema_arrow.names[:2] if own_columns else None
        first = 0
        for group in range(parquet.metadata.num_row_groups):
            rows = parquet.metadata.row_group(group).num_rows
            low, high = max(start - first, 0), min(stop - first, rows)
            if low < high:
                yield parquet.read_row_group(group, columns=columns, use_threads=False).slice(low, high - low)
            first += rows


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as parquet:
            yield parquet
    except FileNotFoundError as error:
        raise NotFound(
            f"The prepared prompts {path} are not there; start the same command again to make them."
        ) from error
    except (pa.ArrowException, OSError) as error:
        raise StorageError(
            f"The prepared prompts {path} are damaged ({str(error).splitlines()[0][:120]}). "
            "Delete the file and start the same command again."
        ) from error
