"""Columns of objects that no Arrow type holds as they are: they travel through as JSON text."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from promptmill.prompts.problems import BadRowError, check_encodable

DEEPEST = 64
JSON = pa.json_()
"""The type of such a column while types are gathered; it is written as text."""


def is_json_text(kind: pa.DataType) -> bool:
    """Whether a column of this type, or of lists of it, is written as JSON text."""
    return is_json_text(kind.value_type) if pa.types.is_list(kind) else bool(kind == JSON)


def json_text(value: Any) -> str | None:
    """The text of a value with its keys in their order; None stays None.

    Raises:
        ValueError: there is an infinite number in it, which JSON lacks.
    """
    return None if value is None else json.dumps(value, ensure_ascii=False, allow_nan=False)


def fits_json(kind: pa.DataType) -> bool:
    """Whether JSON has a form for every value of a type, so that it can be read back as it was."""
    if pa.types.is_struct(kind):
        return all(fits_json(field.type) for field in kind)
    if pa.types.is_list(kind):
        return fits_json(kind.value_type)
    scalars = (pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_string)
    return is_json_text(kind) or any(is_one(kind) for is_one in scalars)


def check_json(value: Any, depth: int = 0) -> None:
    """Look through a value that is to be written as JSON.

    Raises:
        BadRowError: it has half of a surrogate pair, or is nested too deep.
    """
    if isinstance(value, str):
        check_encodable(None, value)
    elif isinstance(value, (list, dict)):
        if depth >= DEEPEST:
            raise too_deep()
        for key in value if isinstance(value, dict) else ():
            check_encodable(None, key)
        for inner in value.values() if isinstance(value, dict) else value:
            check_json(inner, depth + 1)


def too_deep() -> BadRowError:
    """The error of a value that is nested deeper than anybody writes by hand."""
    return BadRowError(None, f"is nested more than {DEEPEST} deep")
