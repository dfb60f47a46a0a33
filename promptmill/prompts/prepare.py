"""Preparing prompts: a pass that checks every row and finds the types, then one that writes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from promptmill.errors import InvalidRows
from promptmill.files import atomic_write
from promptmill.prompts.batches import Batch
from promptmill.prompts.choice import Message, PromptChoice, choose_prompt
from promptmill.prompts.column_types import ColumnTypes
from promptmill.prompts.hub_dataset import dataset_commit
from promptmill.prompts.loadable import require_loadable
from promptmill.prompts.options import PromptOptions
from promptmill.prompts.prepared import PreparedPrompts
from promptmill.prompts.problems import BadRowError, Problems
from promptmill.prompts.reading import read_batches
from promptmill.prompts.source import FileSource, HubSource, locate
from promptmill.prompts.table import PreparedTable, TableWriter
from promptmill.prompts.template import PromptTemplate, template_text

logger = logging.getLogger(__name__)
_ROW_OVERHEAD = 200


@dataclass(frozen=True)
class _Reading:
    """Everything that a pass over the source needs to give the same rows again."""

    options: PromptOptions
    source: FileSource | HubSource
    commit: str | None
    template: PromptTemplate | None

    def batches(self, problems: Problems) -> Iterator[Batch]:
        """The rows as they are, up to the limit."""
        return read_batches(self.source, self.commit, problems, self.options.limit)


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
    logger.info("prompts are taken from %s of %s", choice, options.source)
    table = PreparedTable.of(choice, _survey(reading, choice))
    for column in table.columns:
        if column.name != column.original:
            logger.info("column %s travels through as %s, as its name is needed", column.original, column.name)
    require_loadable(table.schema)
    with atomic_write(target) as temporary:
        written = _write(reading, choice, table, temporary)
        if _stamp(reading.source) != stamp:
            raise InvalidRows(f"{options.source} changed while it was read. Start the same command again.")
    logger.info("%d prompts of %s are prepared", written.rows, options.source)
    return PreparedPrompts(written.rows, written.sha256, choice.kind, table.columns, options.source, reading.commit)


def _open(options: PromptOptions) -> _Reading:
    template = None if options.template is None else PromptTemplate(template_text(options.template))
    source = locate(options.source)
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
    return choose_prompt(first, reading.options.column, reading.template)


def _survey(reading: _Reading, choice: PromptChoice) -> dict[str, pa.DataType]:
    problems = Problems(reading.options.source)
    types = ColumnTypes(choice.replaced)
    for batch in reading.batches(problems):
        types.add(batch, problems)
        for _ in _prompts(batch, choice, problems):
            pass
    problems.raise_if_any()
    return types.types


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
            problems.add(batch.place(index), error.what, error.column)


def _stamp(source: FileSource | HubSource) -> object:
    return source.stamp() if isinstance(source, FileSource) else None
