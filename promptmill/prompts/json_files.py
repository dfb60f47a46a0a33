"""Reader of .jsonl and .json files: what is in a file decides how it is read, whichever of the two it is called."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Any, Literal

from promptmill.prompts.batches import Batch, Row, in_batches
from promptmill.prompts.json_shapes import lists_of_rows, rows_by_column
from promptmill.prompts.json_values import DECODER, TwiceError, ValueReader
from promptmill.prompts.lines import DAMAGES, damage, numbered_lines, opened, place
from promptmill.prompts.problems import Problems, shown
from promptmill.prompts.source import PromptFile

logger = logging.getLogger(__name__)
_NAMES = {list: "a list", int: "a number", float: "a number", bool: "true or false", type(None): "null"}
_Way = Literal["lines", "list", "objects", "one object"]
_Read = Callable[[ValueReader], Iterator[tuple[int, object, int]]]


def read_json(file: PromptFile, problems: Problems, most: int, named: frozenset[str] = frozenset()) -> Iterator[Batch]:
    """Objects or strings: one a line, or in a list, or over several lines each; or one object that the rows are in.

    Args:
        named: the columns that the user named: an object that has one is a row.
    """
    way = _way_of(file)
    if way == "one object":
        return _read_one_object(file, problems, most, named)
    if way == "lines":
        return in_batches(file.name, _line_rows(file, problems), most)
    read = ValueReader.elements if way == "list" else ValueReader.values
    return in_batches(file.name, _value_rows(file, problems, read), most)


def _way_of(file: PromptFile) -> _Way:
    """How a file is written, seen from its first two lines that are not blank."""
    there = (line for _, line in numbered_lines(file, Problems(file.name)) if line.strip())
    first, second = next(there, ""), next(there, None)
    mark = first.lstrip()[:1]
    if mark == "{":
        if _is_whole(first):
            return "lines" if second is not None else "one object"
        objects = _first_objects(file)
        return "lines" if not objects else "one object" if len(objects) == 1 else "objects"
    if mark == "[" and not (file.format == "jsonl" and second is not None and _is_whole(first)):
        return "list"
    return "list" if file.format == "json" else "lines"


def _is_whole(line: str) -> bool:
    try:
        DECODER.decode(line)
    except (json.JSONDecodeError, RecursionError):
        return False
    except ValueError:
        return True  # JSON, with something in it that is refused later
    return True


def _first_objects(file: PromptFile) -> list[Any]:
    """The first two values of a file; none if there is something else."""
    try:
        with opened(file) as stream:
            return [value for _, value, _ in islice(ValueReader(stream).values(), 2)]
    except TwiceError:
        return [{}, {}]  # said when they are read as objects
    except (ValueError, RecursionError, *DAMAGES):
        return []


def _read_one_object(file: PromptFile, problems: Problems, most: int, named: frozenset[str]) -> Iterator[Batch]:
    given = [(line, row, size) for line, row, size in _value_rows(file, problems, ValueReader.values)]
    for line, row, size in given:
        rows = _rows_within(file, row, problems, named)
        if rows is None:
            yield from in_batches(file.name, [(line, row, size)], most)
        elif rows:
            numbered = ((number, inner, size // len(rows)) for number, inner in enumerate(rows, 1))
            yield from (replace(batch, unit="row") for batch in in_batches(file.name, numbered, most))


def _rows_within(file: PromptFile, value: Row, problems: Problems, named: frozenset[str]) -> list[Row] | None:
    """The rows in an object; None if it is a row itself."""
    keys = lists_of_rows(value, named)
    if len(keys) > 1:
        command = f"jq -c {shlex.quote(f'.[{json.dumps(keys[0])}][]')} {shlex.quote(file.name)} > prompts.jsonl"
        problems.add(file.name, f"is one object with several lists of rows, {', '.join(keys)}; take one out: {command}")
        return []
    by_column = None if keys else rows_by_column(value)
    if by_column is not None:
        _say_once(
            f"{file.name} is one object with a list a column: {len(by_column)} rows", file.path.stat().st_mtime_ns
        )
    elif keys:
        _say_once(f"{file.name} is one object; its rows are those of {keys[0]}", file.path.stat().st_mtime_ns)
    return value[keys[0]] if keys else by_column


@lru_cache(maxsize=256)
def _say_once(said: str, _changed: int) -> None:
    # A source is read three times.
    logger.info("%s", said)


def _line_rows(file: PromptFile, problems: Problems) -> Iterator[tuple[int, Row, int]]:
    for number, line in numbered_lines(file, problems):
        if line.isspace():
            continue
        try:
            value = DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            problems.add(f"{file.name}, line {number}", _json_problem(error))
            continue
        row = _row(value, f"{file.name}, line {number}", problems)
        if row is not None:
            yield number, row, len(line)


def _value_rows(file: PromptFile, problems: Problems, read: _Read) -> Iterator[tuple[int, Row, int]]:
    line = 0
    try:
        with opened(file) as stream:
            reader = ValueReader(stream)
            for line, value, size in read(reader):
                row = _row(value, f"{file.name}, line {line}", problems)
                if row is not None:
                    yield line, row, size
    except UnicodeDecodeError as error:
        problems.add(f"{file.name}, line {reader.bad_line}", f"is not UTF-8 ({error.reason}); save the file as UTF-8")
    except (ValueError, RecursionError) as error:
        problems.add(f"{file.name}, line {reader.line}", _json_problem(error))
    except DAMAGES as error:
        problems.add(place(file, line), damage(error, file))


def _row(value: object, place: str, problems: Problems) -> Row | None:
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {"prompt": value}
    problems.add(place, f"is {_NAMES[type(value)]} ({shown(value)}), not an object or a string")
    return None


def _json_problem(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deep"
    if isinstance(error, TwiceError):
        return f"has the key {str(error)!a} twice in one object, so that one value would be lost; rename one of them"
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error.msg} (character {error.colno})"
    return f"is not JSON: {str(error).split(';')[0]}"
