"""Rows as they come out of a source, in batches of bounded size."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from promptmill.prompts.features import features_of, metadata_of
from promptmill.prompts.problems import BadRowError

BATCH_ROWS = 1024
BATCH_BYTES = 8_000_000

Row = dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """Rows of one file that belong together only because they were read together.

    Attributes:
        file: the file's name for messages.
        unit: what the numbers count: `line` or `row`, from 1.
        numbers: where each row stands in its file.
        rows: the values by column.
        size: about how many bytes the rows take.
        schema: the columns' types where the source knows them; None where values tell.
    """

    file: str
    unit: str
    numbers: list[int]
    rows: list[Row]
    size: int
    schema: pa.Schema | None = None

    def place(self, index: int) -> str:
        """Where the row at `index` of this batch stands, for messages."""
        return f"{self.file}, {self.unit} {self.numbers[index]}"


def in_batches(file: str, rows: Iterable[tuple[int, Row, int]], most: int) -> Iterator[Batch]:
    """Group (line number, row, bytes) into batches of at most 1024 rows and about 8 MB; stop after `most` rows."""
    numbers: list[int] = []
    values: list[Row] = []
    size = 0
    for number, row, row_size in rows:
        numbers.append(number)
        values.append(row)
        size += row_size
        if len(values) >= min(BATCH_ROWS, most) or size >= BATCH_BYTES:
            yield Batch(file, "line", numbers, values, size)
            most -= len(values)
            if most <= 0:
                return
            numbers, values, size = [], [], 0
    if values:
        yield Batch(file, "line", numbers, values, size)


def of_table(file: str, table: pa.Table | pa.RecordBatch, first: int) -> Batch:
    """A batch of Arrow rows that keep their types; `first` is the number of the first row.

    Raises:
        BadRowError: a column has a value that Python has no form for, as a year after 9999.
    """
    fields = [pa.field(field.name, plain_type(field.type)) for field in table.schema]
    schema = pa.schema(fields, metadata=metadata_of(features_of(table.schema)))
    numbers = list(range(first, first + table.num_rows))
    columns = {field.name: _values(table.column(place), field) for place, field in enumerate(table.schema)}
    rows: list[Row] = [{name: values[index] for name, values in columns.items()} for index in range(table.num_rows)]
    return Batch(file, "row", numbers, rows, table.nbytes, schema)


def with_columns(batch: Batch, columns: Mapping[str, str | None]) -> Batch:
    """The batch with texts that are the same in all its rows; a column that is there already stays as it is."""
    rows = [{**columns, **row} for row in batch.rows]
    if batch.schema is None:
        return replace(batch, rows=rows)
    new = [pa.field(name, pa.string()) for name in columns if name not in batch.schema.names]
    return replace(batch, rows=rows, schema=pa.schema([*batch.schema, *new], metadata=batch.schema.metadata))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of the same values that `datasets` can hold, where there is one.

    Dictionaries and extensions go from around it, a map becomes a list of key and value, lists of all kinds become
    the plain one, small decimals the usual one, and an UUID its text.
    """
    if isinstance(kind, pa.BaseExtensionType):
        return _OF_EXTENSIONS.get(kind.extension_name) or plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if pa.types.is_map(kind):
        return pa.list_(pa.struct([("key", plain_type(kind.key_type)), ("value", plain_type(kind.item_type))]))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, plain_type(field.type)) for field in kind])
    if _is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    return kind


_OF_EXTENSIONS = {"arrow.uuid": pa.string(), "arrow.bool8": pa.bool_()}


def _is_list(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
    )
    return any(test(kind) for test in tests)


def _values(column: pa.Array | pa.ChunkedArray, field: pa.Field) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
        what = f"has values of {field.type} that cannot be read ({error}); write the column as text"
        raise BadRowError(field.name, what) from error
    if pa.types.is_nested(field.type) or isinstance(field.type, pa.BaseExtensionType):
        return [_plain(value, field.type) for value in values]
    return values


def _plain(value: Any, kind: pa.DataType) -> Any:
    """The value as one of the plain type."""
    if value is None:
        return None
    if isinstance(value, uuid.UUID):
        return str(value)
    if pa.types.is_map(kind):
        return [{"key": _plain(key, kind.key_type), "value": _plain(item, kind.item_type)} for key, item in value]
    if pa.types.is_struct(kind):
        return {field.name: _plain(value[field.name], field.type) for field in kind}
    if _is_list(kind):
        return [_plain(item, kind.value_type) for item in value]
    return value
