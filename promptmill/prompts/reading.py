"""Any source as batches of rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial

from promptmill.prompts.batches import Batch
from promptmill.prompts.hub_dataset import read_hub
from promptmill.prompts.json_files import read_json
from promptmill.prompts.parquet_files import read_parquet
from promptmill.prompts.problems import Problems
from promptmill.prompts.source import FileSource, HubSource, PromptFile
from promptmill.prompts.text_files import read_csv, read_txt

_Reader = Callable[[PromptFile, Problems, int], Iterator[Batch]]


def _readers(named: frozenset[str]) -> dict[str, _Reader]:
    delimited, json = partial(read_csv, named=named), partial(read_json, named=named)
    return {
        "txt": read_txt,
        "jsonl": json,
        "json": json,
        "csv": delimited,
        "tsv": delimited,
        "parquet": read_parquet,
    }


def read_batches(
    source: FileSource | HubSource,
    commit: str | None,
    problems: Problems,
    limit: int | None = None,
    named: frozenset[str] = frozenset(),
) -> Iterator[Batch]:
    """All rows, or the first `limit`, that can be read, in order; what cannot becomes a problem.

    Args:
        named: the columns that the user named, by which a header is known.
    """
    left = sys.maxsize - 1 if limit is None else limit
    if isinstance(source, HubSource):
        yield from read_hub(source, commit or "main", left)
        return
    readers = _readers(named)
    for file in source.files:
        for batch in readers[file.format](file, problems, left):
            if batch.rows:
                yield batch
            left -= len(batch.rows)
        if left <= 0:
            return
