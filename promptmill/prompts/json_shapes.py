"""A file that is one JSON object: the rows that are in it, if it is not a row itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from promptmill.prompts.batches import Row
from promptmill.prompts.columns import RECOGNISED
from promptmill.prompts.messages import looks_like_messages


def lists_of_rows(value: Row, named: Iterable[str]) -> list[str]:
    """The keys under which an object has lists of objects; none if it has a prompt, or a column that was named."""
    if any(isinstance(value.get(name), str) or looks_like_messages(value.get(name)) for name in RECOGNISED):
        return []
    if any(name in value for name in named):
        return []
    return [key for key, inner in value.items() if _is_list_of_objects(inner)]


def rows_by_column(value: Row) -> list[Row] | None:
    """The rows of an object that has a list, or pandas' object of numbered values, a column; None if it has not.

    Pandas' `orient="split"` is read as well: `columns` and `data`.
    """
    names, data = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(data, list) and set(value) <= {"columns", "index", "data"}:
        if all(isinstance(row, list) and len(row) == len(names) for row in data):
            return [dict(zip(map(str, names), row, strict=True)) for row in data]
        return None
    columns = {key: _column(inner) for key, inner in value.items()}
    lengths = {None if column is None else len(column) for column in columns.values()}
    if len(lengths) != 1 or lengths & {None, 0} or _indices_differ(value):
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _column(value: Any) -> list[Any] | None:
    if isinstance(value, list) and not looks_like_messages(value):
        return value
    if isinstance(value, dict) and value and all(key.isdigit() for key in value):
        return list(value.values())
    return None


def _indices_differ(value: Row) -> bool:
    return len({tuple(inner) for inner in value.values() if isinstance(inner, dict)}) > 1


def _is_list_of_objects(value: Any) -> bool:
    items = isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
    return items and not looks_like_messages(value)
