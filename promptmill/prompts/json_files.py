"""Readers of .jsonl and .json files; a list in a .json file is read element by element."""

from __future__ import annotations

import codecs
import json
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

from promptmill.prompts.batches import Batch, Row, in_batches
from promptmill.prompts.lines import BOM, LONGEST_LINE, damage, numbered_lines, opened
from promptmill.prompts.problems import Problems, shown
from promptmill.prompts.source import PromptFile

_BLOCK = 1 << 17
_SPACE = " \t\r\n"
_NAMES = {list: "a list", int: "a number", float: "a number", bool: "true or false", type(None): "null"}


def read_jsonl(file: PromptFile, problems: Problems, most: int) -> Iterator[Batch]:
    """An object, or a string, a line; blank lines are skipped."""
    return in_batches(file.name, _line_rows(file, problems), most)


def read_json(file: PromptFile, problems: Problems, most: int) -> Iterator[Batch]:
    """A list of objects or strings; a file whose first line is a whole object is read as .jsonl."""
    if not _starts_with_an_object(file):
        return in_batches(file.name, _list_rows(file, problems), most)
    first = next((line for _, line in numbered_lines(file, Problems(file.name)) if line.strip()), "")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        problems.add(file.name, "is one JSON object; it has to be a list of objects, or .jsonl with an object a line")
        return iter(())
    return read_jsonl(file, problems, most)


def _starts_with_an_object(file: PromptFile) -> bool:
    try:
        with opened(file) as stream:
            return stream.read(1 << 12).removeprefix(BOM).lstrip().startswith(b"{")
    except (EOFError, zlib.error, pa.ArrowException, OSError):
        return False  # read as a list, which says what is wrong


def _line_rows(file: PromptFile, problems: Problems) -> Iterator[tuple[int, Row, int]]:
    for number, line in numbered_lines(file, problems):
        if line.isspace():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.add(f"{file.name}, line {number}", _json_problem(error))
            continue
        row = _row(value, f"{file.name}, line {number}", problems)
        if row is not None:
            yield number, row, len(line)


def _list_rows(file: PromptFile, problems: Problems) -> Iterator[tuple[int, Row, int]]:
    line = 1
    try:
        with opened(file) as stream:
            reader = _ListReader(stream)
            for line, value, size in reader:
                row = _row(value, f"{file.name}, line {line}", problems)
                if row is not None:
                    yield line, row, size
    except UnicodeDecodeError as error:
        problems.add(f"{file.name}, line {reader.bad_line}", f"is not UTF-8 ({error.reason}); save the file as UTF-8")
    except (ValueError, RecursionError) as error:
        problems.add(f"{file.name}, line {reader.line}", _json_problem(error))
    except (EOFError, zlib.error, pa.ArrowException, OSError) as error:
        problems.add(f"{file.name}, after line {line}", damage(error, file))


class _ListReader:
    """The elements of a JSON list with the line each starts on and its length; memory holds one element."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._ended = False
        self._decoded_lines = 1
        self.line = 1

    @property
    def bad_line(self) -> int:
        """The line on which decoding failed."""
        return self._decoded_lines

    def __iter__(self) -> Iterator[tuple[int, object, int]]:
        mark = self._next_mark()
        if not mark:
            return
        if mark != "[":
            raise ValueError("the file has to be a list of objects or strings, in [ and ]")
        self._at += 1
        mark = self._next_mark()
        while mark != "]":
            line = self.line
            value, size = self._element()
            yield line, value, size
            mark = self._next_mark()
            if mark not in (",", "]"):
                raise ValueError("a comma or ] is missing" if mark else "the list is not closed with ]")
            if mark == ",":
                self._at += 1
                mark = self._next_mark()
                if mark in ("", "]"):
                    raise ValueError("nothing comes after the last comma")
        self._at += 1
        if self._next_mark():
            raise ValueError("there is more after the end of the list")

    def _next_mark(self) -> str:
        while True:
            start = self._at
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            self.line += self._text.count("\n", start, self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(_BLOCK):
                return ""

    def _element(self) -> tuple[object, int]:
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > LONGEST_LINE or not self._more(max(_BLOCK, len(self._text))):
                    self.line += self._text.count("\n", self._at, error.pos)
                    raise ValueError(error.msg) from error
                continue
            if end == len(self._text) and self._more(_BLOCK):
                continue
            size = end - self._at
            self.line += self._text.count("\n", self._at, end)
            self._at = end
            return value, size

    def _more(self, size: int) -> bool:
        if self._ended:
            return False
        block = self._stream.read(size)
        self._ended = not block
        try:
            text = self._decoder.decode(block, final=self._ended)
        except UnicodeDecodeError as error:
            self._decoded_lines += error.object[: error.start].count(b"\n")
            raise
        self._decoded_lines += text.count("\n")
        self._text = self._text[self._at :] + text
        self._at = 0
        return not self._ended


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
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error.msg} (character {error.colno})"
    return f"is not JSON: {str(error).split(';')[0]}"
