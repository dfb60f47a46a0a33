"""Preparing prompts: a pass that checks every row and finds the types, then one that writes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from promptmill.errors import ConfigurationError, InvalidRows
from promptmill.files import atomic_write
from promptmill.prompts.batches import Batch, Row
from promptmill.prompts.choice import PromptChoice, choose_prompt, left_out
from promptmill.prompts.column_types import ColumnTypes
from promptmill.prompts.hub_dataset import dataset_commit
from promptmill.prompts.json_text import is_json_text
from promptmill.prompts.loadable import require_loadable
from promptmill.prompts.messages import Message
from promptmill.prompts.options import PromptOptions
from promptmill.prompts.prepared import PreparedPrompts
from promptmill.prompts.problems import BadRowError, Problems
from promptmill.prompts.reading import How, read_batches
from promptmill.prompts.source import FileSource, HubSource, locate
from promptmill.prompts.table import PreparedTable, TableWriter
from promptmill.prompts.template import PromptTemplate, template_text

logger = logging.getLogger(__name__)
_ROW_OVERHEAD = 200
_SHOWN = 400


@dataclass(frozen=True)
class _Reading:
    """Everything that a pass over the source needs to give the same rows again."""

    options: PromptOptions
    source: FileSource | HubSource
    commit: str | None
    template: PromptTemplate | None

    def batches(self, problems: Problems) -> Iterator[Batch]:
        """The rows as they are, up to the limit."""
        how = How(self.named, self.options.prompt_per_file, self.options.file_column)
        return read_batches(self.source, self.commit, problems, self.options.limit, how)

    @property
    def named(self) -> frozenset[str]:
        """The columns that the user named."""
        if self.options.column is not None:
            return frozenset([self.options.column])
        return (self.template.names if self.template is not None else None) or frozenset()


def prepare_prompts(options: PromptOptions, target: Path) -> PreparedPrompts:
    """Read, render and check all prompts, and write them to `target`, whole or not at all.

    Memory holds a few batches of rows, however large the source is.

    Raises:
        InvalidRows: rows that cannot be used, the first 20 of them in full.
        NotFound: there is no such file or dataset.
        ConfigurationError: the options do not fit the source.
        StorageError: `target` cannot be written.
    """
    reading = _open(options)
    stamp = _stamp(reading.source)
    choice = _choose(reading)
    table = PreparedTable.of(choice, _survey(reading, choice))
    _say_what_changes(table)
    require_loadable(table.schema)
    with atomic_write(target) as temporary:
        written = _write(reading, choice, table, temporary)
        if _stamp(reading.source) != stamp:
            raise InvalidRows(f"{options.source} changed while it was read. Start the same command again.")
    _say_what_there_is(reading, written)
    return PreparedPrompts(written.rows, written.sha256, choice.kind, table.columns, options.source, reading.commit)


def _say_what_changes(table: PreparedTable) -> None:
    for column, kind in zip(table.columns, table.types, strict=True):
        if column.name != column.original:
            logger.info("column %s travels through as %s, as its name is needed", column.original, column.name)
        if is_json_text(kind):
            logger.info("column %s has objects whose keys differ: it travels through as JSON text", column.original)


def _say_what_there_is(reading: _Reading, written: TableWriter) -> None:
    options, source = reading.options, reading.source
    logger.info("%d prompts of %s are prepared", written.rows, options.source)
    files = source.files if isinstance(source, FileSource) else ()
    if len(files) > 1:
        logger.info("%d files match %s", len(files), options.source)
    if files and all(file.format == "txt" for file in files) and not options.prompt_per_file:
        count = "1 file" if len(files) == 1 else f"{len(files)} files"
        logger.info("%s, %d lines, a prompt each; --prompt-per-file makes a prompt of a file", count, written.rows)
    repeated = written.rows - written.different
    if repeated:
        logger.warning(
            "%d of %d prompts come a second time or more; %d are different", repeated, written.rows, written.different
        )


def _open(options: PromptOptions) -> _Reading:
    template = None if options.template is None else PromptTemplate(template_text(options.template))
    source = locate(options.source)
    if options.prompt_per_file and not (
        isinstance(source, FileSource) and all(f.format == "txt" for f in source.files)
    ):
        raise ConfigurationError(f"--prompt-per-file is for .txt files, and {options.source} has others. Leave it out.")
    commit = dataset_commit(source) if isinstance(source, HubSource) else None
    return _Reading(options, source, commit, template)


def _choose(reading: _Reading) -> PromptChoice:
    problems = Problems(reading.options.source)
    first = next((batch.rows for batch in reading.batches(problems)), None)
    if first is None:
        problems.raise_if_any()
        raise InvalidRows(
            f"{reading.options.source} has no prompts. Put at least one in, or name another file with --prompts."
        )
    choice = choose_prompt(first, reading.options, reading.template)
    _say_what_is_taken(choice, first, reading.options.source)
    return choice


def _say_what_is_taken(choice: PromptChoice, rows: list[Row], source: str) -> None:
    try:
        prompt = choice.prompt_of(rows[0])
    except BadRowError:
        return  # every bad row is said together, soon
    logger.info("prompts are taken from %s of %s; the first is %s", choice, source, ascii(prompt)[:_SHOWN])
    missed = left_out(rows, choice)
    if missed is not None:
        logger.warning("%s: %s", source, missed)


def _survey(reading: _Reading, choice: PromptChoice) -> ColumnTypes:
    problems = Problems(reading.options.source)
    types = ColumnTypes(choice.replaced)
    for batch in reading.batches(problems):
        types.add(batch, problems)
        for _ in _prompts(batch, choice, problems):
            pass
    problems.raise_if_any()
    return types


def _write(reading: _Reading, choice: PromptChoice, table: PreparedTable, path: Path) -> TableWriter:
    problems = Problems(reading.options.source)
    with pq.ParquetWriter(path, table.schema, compression="zstd") as parquet:
        writer = TableWriter(parquet, table, problems)
        for batch in reading.batches(problems):
            share = batch.size // len(batch.rows) + _ROW_OVERHEAD
            for index, prompt in _prompts(batch, choice, problems):
                writer.add(batch, index, prompt, share)
        writer.flush()
    problems.raise_if_any()
    return writer


def _prompts(batch: Batch, choice: PromptChoice, problems: Problems) -> Iterator[tuple[int, str | list[Message]]]:
    for index, row in enumerate(batch.rows):
        try:
            yield index, choice.prompt_of(row)
        except BadRowError as error:
            problems.add_row(batch.place(index), error)


def _stamp(source: FileSource | HubSource) -> object:
    return source.stamp() if isinstance(source, FileSource) else None
