"""How the rows of a finished dataset ended: what its last lines say, and whether it is one at all."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from promptmill.assemble import DatasetManifest, recorded_dataset
from promptmill.columns import leaves_out_errors
from promptmill.errors import EngineError
from promptmill.parquet import read_parquet
from promptmill.plan import complete_shards, recorded_manifest, shard_store
from promptmill.run import RunFolder

_SHOWN = 300


def told(run: RunFolder, dataset: DatasetManifest) -> str:
    """Rows, those that ended in error with the commonest reason, and where the dataset is."""
    counts, often = dataset.counts, _often(run, dataset)
    if leaves_out_errors(dataset.columns) and counts.error:
        return (
            f"{counts.rows - counts.error} rows in {run.dataset}; {counts.error} ended in error and are left out{often}"
        )
    return f"{counts.rows} rows ({counts.error} errors) in {run.dataset}{often}"


def require_rows(run: RunFolder) -> None:
    """Refuse a finished dataset in which every row ended in error.

    Raises:
        EngineError: names the commonest reason, and what to do.
    """
    dataset = recorded_dataset(run)
    if dataset is None or not dataset.counts.rows or dataset.counts.error < dataset.counts.rows:
        return
    raise EngineError(
        f"All {dataset.counts.rows} rows ended in error{_often(run, dataset)}\nNothing is published. The rows are in "
        f"{run.dataset}. Mend the cause and begin a run of its own with another --name, as rows that ended in error "
        "are not made again."
    )


def _often(run: RunFolder, dataset: DatasetManifest) -> str:
    if not dataset.counts.error:
        return ""
    counted: dict[str, int] = {}
    for errors in _errors(run, dataset):
        for entry in pc.value_counts(errors.drop_null()).to_pylist():
            counted[entry["values"]] = counted.get(entry["values"], 0) + entry["counts"]
    if not counted:
        return "."
    reason, times = max(counted.items(), key=lambda item: item[1])
    return f". Most often ({times} times): {reason[:_SHOWN]}"


def _errors(run: RunFolder, dataset: DatasetManifest) -> Iterator[pa.ChunkedArray]:
    if not leaves_out_errors(dataset.columns):
        yield from (
            read_parquet(run.dataset / name, columns=["error"])["error"]
            for name, file in dataset.files.items()
            if file.rows
        )
        return
    manifest = recorded_manifest(run)
    for shard, complete in complete_shards(run, manifest).items():
        rows = shard_store(run, manifest, shard).read_complete(complete)
        if rows is not None:
            yield rows["error"]
