"""Readers of .txt, .csv and .tsv files."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator

import pyarrow as pa

from promptmill.prompts.batches import Batch, Row, in_batches
from promptmill.prompts.delimited import Layout, layout_of, long_fields, numbered_names
from promptmill.prompts.lines import LONGEST_LINE, numbered_lines
from promptmill.prompts.problems import Problems, listed
from promptmill.prompts.source import PromptFile

logger = logging.getLogger(__name__)


def read_txt(file: PromptFile, problems: Problems, most: int) -> Iterator[Batch]:
    """One prompt a line; blank lines are skipped."""
    lines = (
        (number, line.rstrip("\r\n"))
        for number, line in numbered_lines(file, problems)
        if not _is_all_of_an_old_file(file, number, line, problems)
    )
    rows = ((number, {"prompt": line}, len(line)) for number, line in lines if line.strip())
    return in_batches(file.name, rows, most)


def read_text(file: PromptFile, problems: Problems, most: int) -> Iterator[Batch]:
    """The whole file as one prompt, without the line end at its end."""
    size, lines = 0, []
    for _, line in numbered_lines(file, problems):
        size += len(line)
        if size > LONGEST_LINE:
            problems.add(file.name, f"is longer than {LONGEST_LINE // 1_000_000} MB, and has to be one prompt")
            return iter(())
        lines.append(line)
    return in_batches(file.name, [(1, {"prompt": "".join(lines).rstrip("\r\n")}, size)], most)


def _is_all_of_an_old_file(file: PromptFile, number: int, line: str, problems: Problems) -> bool:
    """Whether the file is a single line with carriage returns within: many lines, as Macs once ended them."""
    old = number == 1 and "\r" in line and not line.endswith("\n")
    if old:
        problems.add(f"{file.name}, line 1", "ends its lines with \\r alone; save with line ends of Unix or Windows")
    return old


def read_csv(file: PromptFile, problems: Problems, most: int, named: frozenset[str] = frozenset()) -> Iterator[Batch]:
    """A header line, then rows whose quoted fields may hold delimiters and line ends; all values are text.

    What is written otherwise (no header, no quoting, Excel's `sep=`) is found by `layout_of`.
    """
    for batch in in_batches(file.name, _csv_rows(file, problems, most, named), most):
        schema = pa.schema([(name, pa.string()) for name in batch.rows[0]])
        yield Batch(batch.file, batch.unit, batch.numbers, batch.rows, batch.size, schema)


def _csv_rows(file: PromptFile, problems: Problems, most: int, named: frozenset[str]) -> Iterator[tuple[int, Row, int]]:
    layout = layout_of(file, most, named)
    if layout.ambiguous is not None:
        problems.add(
            f"{file.name}, line {layout.ambiguous}",
            "has a quote that may open a field of several lines, as others in the file do, or be a character like "
            "others; save the file as .jsonl, or as .csv",
        )
        return
    header: list[str] | None = None
    for number, fields in _records(file, layout, problems):
        if header is None and layout.header:
            header = _header(file, number, fields, problems)
            if header is None:
                return
            continue
        header = header or numbered_names(len(fields))
        if len(fields) != len(header):
            problems.add(
                f"{file.name}, line {number}",
                f"has {len(fields)} fields where the {'header' if layout.header else 'first line'} has {len(header)}; "
                "quote fields that hold the delimiter",
            )
        else:
            yield number, dict(zip(header, fields, strict=True)), sum(map(len, fields))


def _records(file: PromptFile, layout: Layout, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    numbered = numbered_lines(file, problems)
    lines = _Numbered((number, line) for number, line in numbered if number >= layout.first_line)
    reader = layout.reader(lines)
    with long_fields():
        while True:
            lines.start = None
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problems.add(f"{file.name}, line {lines.start or 1}", _csv_problem(error))
                return
            if fields:
                yield lines.start or 1, fields


class _Numbered:
    """Lines for the csv module that remember on which one the current record started."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self.start: int | None = None

    def __iter__(self) -> _Numbered:
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        self.start = number if self.start is None else self.start
        return line


def _csv_problem(error: csv.Error) -> str:
    if "unexpected end of data" in str(error):
        return "a quote that opens here is never closed"
    return f"is not CSV: {error}"


def _header(file: PromptFile, number: int, fields: list[str], problems: Problems) -> list[str] | None:
    names = [name.strip() or f"column_{index}" for index, name in enumerate(fields, 1)]
    if not all(name.strip() for name in fields):
        logger.info("%s: columns without a name in the header are called by their number, as in column_1", file.name)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        problems.add(f"{file.name}, line {number}", f"the header names a column twice: {listed(twice)}")
        return None
    return names
