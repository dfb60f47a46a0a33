"""How a .csv or .tsv file is written: its delimiter, whether quotes mean anything, and whether it has a header."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from promptmill.prompts.columns import KNOWN_NAMES
from promptmill.prompts.lines import LONGEST_LINE, numbered_lines
from promptmill.prompts.problems import Problems
from promptmill.prompts.source import PromptFile

logger = logging.getLogger(__name__)
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_EXCEL = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_SENTENCE_WORDS = 4
_SENTENCE_LENGTH = 40


@dataclass(frozen=True)
class Layout:
    """How one file is written.

    Attributes:
        first_line: the number of the line that it begins on, after Excel's `sep=`.
        quoted: whether a quote at the beginning of a field opens it; else it is a character like others.
        header: whether the first record names the columns.
        ambiguous: a line whose quotes can be read in two ways; None if there is none.
    """

    delimiter: str
    first_line: int
    quoted: bool
    header: bool
    ambiguous: int | None = None

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """The records of the lines."""
        if self.quoted:
            return csv.reader(lines, delimiter=self.delimiter, strict=True)
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE, strict=True)


def layout_of(file: PromptFile, most: int, named: frozenset[str]) -> Layout:
    """How a file is written, found by looking through its first `most` records.

    Args:
        named: the columns that the user named: where the first record has one, it is a header.
    """
    state = file.path.stat()
    return _layout(file, most, named, state.st_mtime_ns, state.st_size)


@contextmanager
def long_fields() -> Iterator[None]:
    """Let the csv module read fields of any length that a line may have."""
    before = csv.field_size_limit(LONGEST_LINE)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@lru_cache(maxsize=256)
def _layout(file: PromptFile, most: int, named: frozenset[str], _changed: int, _size: int) -> Layout:
    # A source is read three times, and is looked through, and spoken about, once.
    delimiter, first_line = _DELIMITERS[file.format], 1
    first = next((line for _, line in numbered_lines(file, Problems(file.name))), "")
    excel = _EXCEL.fullmatch(first)
    if excel:
        delimiter, first_line = excel[1], 2
    scan = _Scan(file, delimiter, first_line)
    with long_fields():
        scan.run(most)
    quoted = not scan.glued
    if scan.glued:
        logger.info("%s: quotes are characters like others, as rows would be joined otherwise", file.name)
    elif scan.spanning:
        rows = "1 row spans" if scan.spanning == 1 else f"{scan.spanning:,} rows span"
        logger.info("%s: %s several lines", file.name, rows)
    header = _is_header(scan.first, named)
    if scan.first and not header:
        logger.warning(
            "%s has no header, as its first line reads like a row; its columns are called %s",
            file.name,
            ", ".join(numbered_names(len(scan.first))[:3]) + (", ..." if len(scan.first) > 3 else ""),
        )
    return Layout(delimiter, first_line, quoted, header, scan.glued if scan.glued and scan.spanning else None)


def numbered_names(count: int) -> list[str]:
    """What the columns of a file without a header are called."""
    return ["prompt"] if count == 1 else [f"column_{number}" for number in range(1, count + 1)]


class _Scan:
    """One look through a file, quotes taken as quotes.

    Attributes:
        first: the fields of the first record.
        spanning: records of several lines, save those below.
        glued: the line of the first record of several lines each of which is a whole row by itself, quotes aside; 0
            if there is none. Only tabs tell: text has commas of its own.
    """

    def __init__(self, file: PromptFile, delimiter: str, first_line: int) -> None:
        self.first: list[str] = []
        self.spanning = 0
        self.glued = 0
        self._delimiter = delimiter
        self._lines = ((n, line) for n, line in numbered_lines(file, Problems(file.name)) if n >= first_line)
        self._start = self._count = 0
        self._whole = True

    def run(self, most: int) -> None:
        reader = csv.reader(self._each(), delimiter=self._delimiter, strict=True)
        for _ in range(most + 1):
            self._start = self._count = 0
            self._whole = True
            try:
                fields = next(reader)
            except (csv.Error, StopIteration) as end:
                if isinstance(end, csv.Error) and self._are_rows():
                    self.glued = self.glued or self._start
                return
            self.first = self.first or fields
            if self._count > 1 and self._are_rows():
                self.glued = self.glued or self._start
            elif self._count > 1:
                self.spanning += 1

    def _are_rows(self) -> bool:
        return self._delimiter == "\t" and len(self.first) > 1 and self._whole and self._count > 0

    def _each(self) -> Iterator[str]:
        for number, line in self._lines:
            self._start = self._start or number
            self._count += 1
            self._whole = self._whole and line.count(self._delimiter) == len(self.first) - 1
            yield line


def _is_header(first: list[str], named: frozenset[str]) -> bool:
    cells = [cell.strip() for cell in first]
    if any(cell.lower() in KNOWN_NAMES or (cell in named and not _is_data(cell)) for cell in cells):
        return True
    numbers = [cell for cell in cells if _is_number(cell)]
    if numbers and [cell for cell in cells if cell] != [str(index) for index in range(len(numbers))]:  # pandas' own
        return False
    return not all(map(_is_sentence, cells))


def _is_data(cell: str) -> bool:
    return _is_number(cell) or _is_sentence(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_sentence(cell: str) -> bool:
    return len(cell.split()) >= _SENTENCE_WORDS or len(cell) > _SENTENCE_LENGTH or cell.endswith((".", "?", "!"))
