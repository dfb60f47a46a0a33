"""Readers of .parquet files, and of the .arrow files that `save_to_disk` of datasets writes."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from promptmill.prompts.batches import BATCH_BYTES, BATCH_ROWS, Batch, of_table
from promptmill.prompts.lines import damage
from promptmill.prompts.problems import BadRowError, Problems, listed
from promptmill.prompts.source import PromptFile

_BUFFER = 1 << 20
_FILE_MAGIC = b"ARROW1"


def read_parquet(file: PromptFile, problems: Problems, most: int) -> Iterator[Batch]:
    """The rows with the types they have; numbers count rows from 1."""
    row = 1
    try:
        with pq.ParquetFile(file.path, pre_buffer=False, buffer_size=_BUFFER) as parquet:
            names = parquet.schema_arrow.names
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                problems.add(file.name, f"has a column twice: {listed(twice)}")
                return
            for batch in parquet.iter_batches(min(most, _rows_a_batch(parquet.metadata)), use_threads=False):
                yield of_table(file.name, batch.slice(0, most + 1 - row), row)
                row += batch.num_rows
                if row > most:
                    return
    except BadRowError as error:
        problems.add(f"{file.name}, from row {row}", error.what, error.column)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        problems.add(f"{file.name}, from row {row}", damage(error, file))


def read_arrow(file: PromptFile, problems: Problems, most: int) -> Iterator[Batch]:
    """The same of a stream of Arrow batches, or of a file of them."""
    row = 1
    try:
        with pa.memory_map(str(file.path)) as mapped:
            for batch in _arrow_batches(mapped):
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    yield of_table(file.name, batch.slice(start, min(BATCH_ROWS, most + 1 - row)), row)
                    row += min(BATCH_ROWS, batch.num_rows - start)
                    if row > most:
                        return
    except (pa.ArrowException, OSError, ValueError) as error:
        problems.add(f"{file.name}, from row {row}", damage(error, file))


def _arrow_batches(mapped: pa.MemoryMappedFile) -> Iterator[pa.RecordBatch]:
    if mapped.read(len(_FILE_MAGIC)) == _FILE_MAGIC:
        reader = pa.ipc.open_file(mapped)
        yield from (reader.get_batch(index) for index in range(reader.num_record_batches))
    else:
        mapped.seek(0)
        yield from pa.ipc.open_stream(mapped)


def _rows_a_batch(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    widest = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=1)
    return int(min(BATCH_ROWS, max(1, BATCH_BYTES // max(widest, 1))))
