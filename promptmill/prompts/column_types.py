"""One Arrow type a column, over a whole source of JSON values read batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from promptmill.errors import InvalidRows
from promptmill.prompts.batches import Batch
from promptmill.prompts.features import features_of
from promptmill.prompts.json_text import DEEPEST, JSON, check_json, fits_json, is_json_text, too_deep
from promptmill.prompts.problems import BadRowError, Problems, check_encodable, shown

logger = logging.getLogger(__name__)
MOST_COLUMNS = 1000
_INT64 = range(-(2**63), 2**63)
_SCALARS: dict[frozenset[type], pa.DataType] = {
    frozenset(): pa.null(),
    frozenset({bool}): pa.bool_(),
    frozenset({float}): pa.float64(),
    frozenset({int, float}): pa.float64(),
}


class ConflictError(BadRowError):
    """Values that have no type in common."""


class ColumnTypes:
    """The types of the user's columns as far as they have been seen."""

    def __init__(self, left_out: str | None) -> None:
        self._left_out = left_out
        self._first_place: dict[str, str] = {}
        self.types: dict[str, pa.DataType] = {}
        self.features: dict[str, Any] = {}

    def add(self, batch: Batch, problems: Problems) -> None:
        """Widen the types so that the batch fits; what cannot fit becomes a problem with both lines."""
        before = set(self.types)
        for column in self._columns_of(batch):
            values = [row.get(column) for row in batch.rows]
            try:
                _check_name(column)
                kind = _known(batch, column) or infer(values)
                merged = merge(self.types.get(column, pa.null()), kind)
            except BadRowError:
                self._locate(column, values, batch, problems)
                continue
            self._widen(column, merged, values, batch)
        self._add_features(batch, problems, before)
        if len(self.types) > MOST_COLUMNS:
            raise InvalidRows(
                f"{batch.place(0)}: there are more than {MOST_COLUMNS} different columns by here. "
                "Objects with free keys have to stand in one column, as JSON text."
            )

    def _add_features(self, batch: Batch, problems: Problems, before: set[str]) -> None:
        found = features_of(batch.schema)
        for column in self._columns_of(batch):
            mine = found.get(column)
            if column not in before and mine is not None:
                self.features[column] = mine
            elif column in before and mine != self.features.get(column):
                problems.add(
                    batch.place(0),
                    "is another feature of datasets than in the file before, such as other names of classes; write the "
                    "files with one form of it",
                    column,
                )

    def _columns_of(self, batch: Batch) -> list[str]:
        names = batch.schema.names if batch.schema else dict.fromkeys(chain.from_iterable(batch.rows))
        return [name for name in names if name != self._left_out]

    def _widen(self, column: str, merged: pa.DataType, values: Sequence[Any], batch: Batch) -> None:
        if self.types.get(column) == merged:
            return
        self.types[column] = merged
        first = next((index for index, value in enumerate(values) if value is not None), None)
        if first is not None:
            self._first_place.setdefault(column, batch.place(first))

    def _locate(self, column: str, values: Sequence[Any], batch: Batch, problems: Problems) -> None:
        for index, value in enumerate(values):
            if column not in batch.rows[index]:
                continue
            before = self.types.get(column, pa.null())
            try:
                _check_name(column)
                kind = _known(batch, column) or infer([value])
                merged = merge(before, kind)
            except BadRowError as error:
                since = f", but {named(before)} on {self._first_place[column]}" if error.column else ""
                problems.add(batch.place(index), f"{error.what}{since}", ascii(column)[1:-1])
                if batch.schema is not None:
                    return
            else:
                self._widen(column, merged, [value], _only(batch, index))


def infer(values: Sequence[Any], depth: int = 0) -> pa.DataType:
    """The type of JSON values, exactly: true is no number, and text is nothing else.

    Objects whose keys, or the types behind them, differ are `JSON`: one Arrow type for all of them would give each the
    keys of the others.

    Raises:
        BadRowError: the values have no type in common, or cannot be written at all.
    """
    kinds = frozenset(map(type, values)) - {type(None)}
    if int in kinds:
        _check_numbers(values)
    if kinds == {str}:
        _check_texts(values)
        return pa.string()
    if kinds == {int}:
        return pa.int64()
    if kinds in _SCALARS:
        return _SCALARS[kinds]
    if depth >= DEEPEST:
        raise too_deep()
    present = [value for value in values if value is not None]
    if kinds == {list}:
        return pa.list_(infer(list(chain.from_iterable(present)), depth + 1))
    if kinds == {dict}:
        return _struct(present, depth)
    raise ConflictError(None, f"has values of different types: {shown(present)}")


def merge(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    """The type that holds values of both, without a key that either has not.

    Raises:
        BadRowError: there is none; its column is set, to tell it from a value that is bad by itself.
    """
    if left == right or pa.types.is_null(right):
        return left
    if pa.types.is_null(left):
        return right
    if JSON in (left, right):
        return _as_json(left, right)
    if pa.types.is_list(left) and pa.types.is_list(right):
        return pa.list_(merge(left.value_type, right.value_type))
    if pa.types.is_struct(left) and pa.types.is_struct(right):
        return _merged_objects(left, right)
    try:
        pair = [pa.schema([pa.field("value", kind)]) for kind in (left, right)]
        return pa.unify_schemas(pair, promote_options="permissive").field("value").type
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        raise BadRowError("value", f"is {named(right)}") from error


def named(kind: pa.DataType) -> str:
    """A type in a user's words."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_boolean(kind):
        return "true or false"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "a number"
    if pa.types.is_list(kind):
        return f"a list of ({named(kind.value_type)})"
    if pa.types.is_struct(kind):
        return f"an object with ({', '.join(f'{field.name}: {named(field.type)}' for field in list(kind)[:8])})"
    if kind == JSON:
        return "objects whose keys differ"
    return "null" if pa.types.is_null(kind) else str(kind)


def _struct(values: Sequence[dict[str, Any]], depth: int) -> pa.DataType:
    keys = values[0].keys()
    if keys and len(keys) <= MOST_COLUMNS and all(value.keys() == keys for value in values):
        for key in keys:
            _check_name(key)
        try:
            return _object_of({key: infer([value[key] for value in values], depth + 1) for key in keys})
        except ConflictError:
            pass
    for value in values:
        check_json(value, depth)
    return JSON


def _object_of(types: Mapping[str, pa.DataType]) -> pa.DataType:
    return JSON if any(map(is_json_text, types.values())) else pa.struct(list(types.items()))


def _merged_objects(left: pa.StructType, right: pa.StructType) -> pa.DataType:
    if {field.name for field in left} != {field.name for field in right}:
        return _as_json(left, right)
    try:
        return _object_of({field.name: merge(field.type, right.field(field.name).type) for field in left})
    except BadRowError:
        return _as_json(left, right)


def _as_json(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    objects = all(kind == JSON or pa.types.is_struct(kind) for kind in (left, right))
    if not (objects and fits_json(left) and fits_json(right)):
        raise BadRowError("value", f"is {named(right)}")
    return JSON


def _check_name(name: str) -> None:
    check_encodable(None, name)
    if "\0" in name:
        raise BadRowError(None, f"has a NUL in the name {name!r}, which no reader of the dataset takes; rename it")


def _check_numbers(values: Sequence[Any]) -> None:
    for value in values:
        if type(value) is int and value not in _INT64:
            raise BadRowError(None, f"is {shown(value)}, which does not fit in 64 bits; write it as text")


def _check_texts(values: Sequence[str | None]) -> None:
    try:
        "".join(filter(None, values)).encode("utf-8")
    except UnicodeEncodeError:
        for value in values:
            check_encodable(None, value or "")


def _known(batch: Batch, column: str) -> pa.DataType | None:
    return batch.schema.field(column).type if batch.schema is not None else None


def _only(batch: Batch, index: int) -> Batch:
    return Batch(batch.file, batch.unit, [batch.numbers[index]], [batch.rows[index]], 0, batch.schema)
