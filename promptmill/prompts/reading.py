"""Any source as batches of rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from promptmill.prompts.batches import Batch, with_columns
from promptmill.prompts.hub_dataset import read_hub
from promptmill.prompts.json_files import read_json
from promptmill.prompts.parquet_files import read_arrow, read_parquet
from promptmill.prompts.problems import Problems
from promptmill.prompts.source import FileSource, HubSource, PromptFile
from promptmill.prompts.text_files import read_csv, read_text, read_txt

_Reader = Callable[[PromptFile, Problems, int], Iterator[Batch]]


@dataclass(frozen=True)
class How:
    """What a user says about reading.

    Attributes:
        named: the columns that were named, by which a header is known.
        prompt_per_file: whether a .txt file is one prompt and not one a line.
        file_column: the column to write a file's name into; None for none.
    """

    named: frozenset[str] = frozenset()
    prompt_per_file: bool = False
    file_column: str | None = None


def read_batches(
    source: FileSource | HubSource,
    commit: str | None,
    problems: Problems,
    limit: int | None = None,
    how: How = How(),
) -> Iterator[Batch]:
    """All rows, or the first `limit`, that can be read, in order; what cannot becomes a problem."""
    left = sys.maxsize - 1 if limit is None else limit
    if isinstance(source, HubSource):
        for batch in read_hub(source, commit or "main", left):
            yield _labelled(batch, how, source.typed, problems)
        return
    readers = _readers(how)
    for file in source.files:
        for batch in readers[file.format](file, problems, left):
            if batch.rows:
                whole = with_columns(batch, dict(file.columns)) if file.columns else batch
                yield _labelled(whole, how, source.label(file), problems)
            left -= len(batch.rows)
        if left <= 0:
            return


def _readers(how: How) -> dict[str, _Reader]:
    delimited, json = partial(read_csv, named=how.named), partial(read_json, named=how.named)
    return {
        "txt": read_text if how.prompt_per_file else read_txt,
        "jsonl": json,
        "json": json,
        "csv": delimited,
        "tsv": delimited,
        "parquet": read_parquet,
        "arrow": read_arrow,
    }


def _labelled(batch: Batch, how: How, label: str, problems: Problems) -> Batch:
    if how.file_column is None:
        return batch
    if how.file_column in (batch.schema.names if batch.schema else batch.rows[0]):
        problems.add(
            batch.place(0), f"has a column {how.file_column} itself; give --file-column a name that is not taken"
        )
    return with_columns(batch, {how.file_column: label})
