"""The columns of the prepared file, and the writer that fills it and hashes what it holds."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from promptmill.prompts.batches import BATCH_BYTES, BATCH_ROWS, Batch, Row
from promptmill.prompts.choice import Kind, PromptChoice
from promptmill.prompts.column_types import ColumnTypes, named
from promptmill.prompts.features import metadata_of
from promptmill.prompts.json_text import is_json_text, json_text
from promptmill.prompts.messages import Message
from promptmill.prompts.prepared import MESSAGES, UserColumn
from promptmill.prompts.problems import Problems, shown

RESERVED = frozenset(
    {
        "prompt_id",
        "sample_index",
        "prompt",
        "messages",
        "response",
        "finish_reason",
        "prompt_tokens",
        "completion_tokens",
        "seed",
        "model",
        "revision",
        "error",
        "_type",  # with which `datasets` describes features
    }
)
_DATASETS_OWN = "_type"
GROUP_ROWS = 8 * BATCH_ROWS
_CANNOT_CONVERT = (pa.ArrowException, OverflowError, ValueError, TypeError)


@dataclass(frozen=True)
class PreparedTable:
    """The layout of the prepared file: `prompt_id`, the prompt, then the user's columns."""

    kind: Kind
    columns: tuple[UserColumn, ...]
    types: tuple[pa.DataType, ...]
    features: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, choice: PromptChoice, found: ColumnTypes) -> PreparedTable:
        """The layout for the user's columns of these types."""
        columns = output_names(list(found.types))
        features = {
            column.name: found.features[column.original] for column in columns if column.original in found.features
        }
        return cls(choice.kind, columns, tuple(found.types.values()), features)

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the file."""
        prompt_type = MESSAGES if self.kind == "messages" else pa.string()
        own = [pa.field("prompt_id", pa.string()), pa.field(self.kind, prompt_type)]
        users = [pa.field(column.name, writable(kind)) for column, kind in zip(self.columns, self.types, strict=True)]
        return pa.schema([*own, *users], metadata=metadata_of(self.features))


class TableWriter:
    """Writes row groups of at most 8192 rows and about 8 MB, and hashes each row's canonical JSON.

    Rows become Arrow 1024 at a time, as Python's objects are large; row groups are larger, as the
    footer of the file, which everybody reads whole, holds some kilobytes of each.
    """

    def __init__(self, parquet: pq.ParquetWriter, table: PreparedTable, problems: Problems) -> None:
        self._parquet = parquet
        self._table = table
        self._schema = table.schema
        self._problems = problems
        self._digest = hashlib.sha256()
        self._pending: list[tuple[str, Any, Row, Batch, int]] = []
        self._size = 0
        self._group: list[pa.Table] = []
        self._seen = array("Q")
        self.rows = 0

    @property
    def different(self) -> int:
        """How many of the prompts written so far differ from each other."""
        return int(np.unique(np.frombuffer(self._seen, dtype=np.uint64)).size)

    @property
    def sha256(self) -> str:
        """Of all rows written so far."""
        return self._digest.hexdigest()

    def add(self, batch: Batch, index: int, prompt: str | list[Message], size: int) -> None:
        """Take one row, of about `size` bytes besides its prompt."""
        text = prompt if isinstance(prompt, str) else canonical_json(prompt)
        if self._pending and self._size + size + len(text) > BATCH_BYTES:
            self._convert()
        digest = hashlib.sha256(text.encode())
        prompt_id = f"{self.rows:08d}-{digest.hexdigest()[:8]}"
        self._seen.append(int.from_bytes(digest.digest()[:8], "big"))  # 8 bytes a row, however long the prompts are
        self._pending.append((prompt_id, prompt, batch.rows[index], batch, index))
        self._size += size + len(text)
        self.rows += 1
        if len(self._pending) >= BATCH_ROWS:
            self._convert()

    def flush(self) -> None:
        """Write the rows taken so far."""
        self._convert()
        self._write_group()

    def _write_group(self) -> None:
        if self._group:
            self._parquet.write_table(pa.concat_tables(self._group), row_group_size=GROUP_ROWS)
        self._group = []

    def _convert(self) -> None:
        if not self._pending:
            return
        own = ([row[place] for row in self._pending] for place in (0, 1))
        arrays = [pa.array(values, kind) for values, kind in zip(own, self._schema.types[:2], strict=True)]
        for place, column in enumerate(self._table.columns, 2):
            arrays.append(self._array(column, self._schema.field(place).type, self._table.types[place - 2]))
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        self._digest.update(row_lines(table))
        self._pending, self._size = [], 0
        group = [*self._group, table]
        if sum(part.num_rows for part in group) > GROUP_ROWS or sum(part.nbytes for part in group) > BATCH_BYTES:
            self._write_group()
        self._group.append(table)

    def _array(self, column: UserColumn, kind: pa.DataType, found: pa.DataType) -> pa.Array:
        values = [row.get(column.original) for _, _, row, _, _ in self._pending]
        form = json_text if is_json_text(found) else partial(_fitted, kind=found) if kind != found else _as_it_is
        try:
            return pa.array([form(value) for value in values], kind)
        except _CANNOT_CONVERT:
            for value, (_, _, _, batch, index) in zip(values, self._pending, strict=True):
                if not _converts(value, form, kind):
                    form_name = "JSON text" if is_json_text(found) else named(kind)
                    what = f"is {shown(value)}, which cannot be written as {form_name}"
                    self._problems.add(batch.place(index), what, column.original)
            self._problems.raise_if_any()
            raise


def output_names(columns: list[str], reserved: Collection[str] = RESERVED) -> tuple[UserColumn, ...]:
    """The user's columns with the names they get: those that the dataset needs itself get `input_` in front."""
    taken = {*columns, *reserved}
    named_columns = []
    for column in columns:
        name = column
        while name in reserved or (name != column and name in taken):
            name = f"input_{name}"
        taken.add(name)
        named_columns.append(UserColumn(column, name))
    return tuple(named_columns)


def row_lines(table: pa.Table) -> bytes:
    """Each row's prompt and user's columns as canonical JSON, a line a row."""
    names = table.column_names[1:]
    columns = [column.to_pylist() for column in table.columns[1:]]
    rows = zip(*columns, strict=True)
    return "".join(f"{canonical_json(dict(zip(names, row, strict=True)))}\n" for row in rows).encode()


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces; what JSON has no form for is written as text."""
    return _ENCODER.encode(value)


def writable(kind: pa.DataType) -> pa.DataType:
    """The type as Parquet and `datasets` can hold it.

    An object without any key, which Parquet cannot, becomes null; a key `_type` gets `input_` in front.
    """
    if is_json_text(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        names = _key_names(kind)
        fields = [pa.field(names[field.name], writable(field.type)) for field in kind]
        return pa.struct(fields) if fields else pa.null()
    if pa.types.is_list(kind):
        return pa.list_(writable(kind.value_type))
    return kind


def _key_names(kind: pa.DataType) -> dict[str, str]:
    """The keys of an object, with the names that they get."""
    names = {field.name: field.name for field in kind}
    while names.get(_DATASETS_OWN) in (_DATASETS_OWN, *(name for name in names if name != _DATASETS_OWN)):
        names[_DATASETS_OWN] = f"input_{names[_DATASETS_OWN]}"
    return names


def _fitted(value: Any, kind: pa.DataType) -> Any:
    """The value of a type as one of the type that is written."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        names = _key_names(kind)
        return {names[field.name]: _fitted(value.get(field.name), field.type) for field in kind} or None
    if pa.types.is_list(kind):
        return [_fitted(inner, kind.value_type) for inner in value]
    return value


def _as_it_is(value: Any) -> Any:
    return value


def _converts(value: Any, form: Callable[[Any], Any], kind: pa.DataType) -> bool:
    try:
        pa.array([form(value)], kind)
    except _CANNOT_CONVERT:
        return False
    return True


def _as_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_as_text)
