"""JSON values out of a stream, one in memory at a time."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from promptmill.prompts.lines import LONGEST_LINE

_BLOCK = 1 << 17
_SPACE = " \t\r\n"


class TwiceError(ValueError):
    """An object has a key twice, and which of the values is meant cannot be known."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise TwiceError(next(key for key in keys if keys.count(key) > 1))
    return value


def _constant(name: str) -> float | None:
    return None if name == "NaN" else float(name)


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
"""Refuses a key that comes twice; NaN, which pandas writes for a missing value, is null."""


class ValueReader:
    """Values of a stream with the line each starts on and its length."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._ended = False
        self._decoded_lines = 1
        self.line = 1

    @property
    def bad_line(self) -> int:
        """The line on which decoding failed."""
        return self._decoded_lines

    def values(self) -> Iterator[tuple[int, object, int]]:
        """One value after the other, with white space between them."""
        while self._next_mark():
            line = self.line
            value, size = self._element()
            yield line, value, size

    def elements(self) -> Iterator[tuple[int, object, int]]:
        """The elements of the list that the stream is."""
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
                value, end = DECODER.raw_decode(self._text, self._at)
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
