"""Laying out the dataset: prompts and rows joined in prompt order, verified, proven by a manifest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from promptmill.card import PICTURE, card_text
from promptmill.columns import answered, layout_of, leaves_out_errors, prompt_and_answer
from promptmill.files import (
    CORRUPT_MARK,
    TEMPORARY_MARK,
    atomic_write,
    move_into,
    read_json,
    remove_stale_temporaries,
    sha256_of,
    storage_errors,
    write_json,
)
from promptmill.generate import PromptForm
from promptmill.model import published_model
from promptmill.plan import PromptsManifest, recorded_manifest, shard_store
from promptmill.prompts import prepared_table
from promptmill.prompts.features import features_of, metadata_of
from promptmill.prompts.table import output_names
from promptmill.report.attempt import attempt_report
from promptmill.run import RunFolder, recorded_identity
from promptmill.shard import ShardCounts
from promptmill.verifying import remember_dataset

logger = logging.getLogger(__name__)

_ROW_GROUP = 1000
WriteReport = Callable[[RunFolder], None]


@dataclass(frozen=True)
class DatasetFile:
    """One file of the dataset; `rows` is 0 for what is not Parquet."""

    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class DatasetManifest:
    """The proof that a dataset is complete: every file with its rows and SHA-256.

    Attributes:
        counts: of all rows, those that the layout of the columns leaves out too.
        columns: the layout; see `promptmill.columns`.
    """

    fingerprint: str
    files: dict[str, DatasetFile]
    counts: ShardCounts
    columns: str | None = None

    def is_on_disk(self, folder: Path) -> bool:
        """Whether every file is there in its full length."""
        return all(_size(folder / name) == file.bytes for name, file in self.files.items())


@dataclass
class LaidOut:
    """Parquet files of some shards, what they count, and the shards that are not complete or turned out damaged."""

    files: dict[str, DatasetFile]
    counts: ShardCounts
    damaged: list[int]


def assemble(run: RunFolder, write_report: WriteReport = attempt_report) -> list[int]:
    """Write the dataset of a run whose shards are complete; returns the shards that turned out damaged.

    Of a damaged shard the bad file is set aside and the rest is kept, so that generating it again
    makes only the rows that were lost; call this again afterwards.

    Args:
        write_report: writes report and picture once the rows are there, for the card to show.

    Raises:
        StorageError: the disk is full, or the run's own files are damaged.
    """
    manifest = recorded_manifest(run)
    laid_out = lay_out(run, manifest, range(len(manifest.shards)))
    if not laid_out.damaged:
        _finish(run, manifest, laid_out, write_report)
    return laid_out.damaged


def lay_out(run: RunFolder, manifest: PromptsManifest, shards: Iterable[int]) -> LaidOut:
    """Write the Parquet files of these shards, in the very bytes that the complete dataset has."""
    laid_out = LaidOut({}, ShardCounts(), [])
    ours = _Ours(run)
    for shard in shards:
        rows = _complete_rows(run, manifest, shard)
        if rows is None:
            laid_out.damaged.append(shard)
            continue
        name = f"data/train-{shard:05d}-of-{len(manifest.shards):05d}.parquet"
        laid_out.files[name] = _write_shard(ours, name, _joined_rows(run, manifest, shard, rows))
        laid_out.counts += ShardCounts.of(rows)
    return laid_out


def recorded_dataset(run: RunFolder) -> DatasetManifest | None:
    """The manifest of the assembled dataset; None if there is none that is complete, and in the run's layout."""
    manifest = listed_dataset(run)
    if manifest is None or manifest.columns != layout_of(run):
        return None
    return manifest if manifest.is_on_disk(run.dataset) else None


def listed_dataset(run: RunFolder) -> DatasetManifest | None:
    """The same, whether or not the files that it lists are there."""
    value = read_json(run.dataset_manifest)
    if value is None or not (run.identity.exists() and run.prompts.exists()):
        return None
    files = {name: DatasetFile(**file) for name, file in value["files"].items()}
    return DatasetManifest(value["fingerprint"], files, ShardCounts(**value["counts"]), value.get("columns"))


def _complete_rows(run: RunFolder, manifest: PromptsManifest, shard: int) -> pa.Table | None:
    """The rows of a shard by position; None if it is not complete, or turned out damaged and was set aside."""
    store = shard_store(run, manifest, shard)
    complete = store.manifest()
    return None if complete is None else store.read_complete(complete)


def _joined_rows(run: RunFolder, manifest: PromptsManifest, shard: int, rows: pa.Table) -> pa.Table:
    """Prompt, response and the user's columns of one shard, in prompt order."""
    start, stop = manifest.shards[shard]
    samples = manifest.samples
    prompts = prepared_table(run.prompts_table, start, stop)
    if samples > 1:
        prompts = prompts.take(pc.divide(rows["position"], samples))
    text = "messages" if "messages" in prompts.column_names[:2] else "prompt"
    identity, layout = recorded_identity(run), layout_of(run)
    form = PromptForm.of(run.settings, identity, samples)
    columns = {
        "prompt_id": prompts["prompt_id"],
        "sample_index": _sample_index(rows["position"], samples),
        **prompt_and_answer(layout, prompts[text], text, rows["response"], form),
        **{name: rows[name] for name in ("finish_reason", "prompt_tokens", "completion_tokens", "seed")},
        "model": _repeated(published_model(run.settings), rows.num_rows),
        "revision": _repeated(identity.revision, rows.num_rows),
        "error": rows["error"],
    }
    # They keep their names unless the layout needs one, as `completion`.
    names = output_names([name for name in prompts.column_names if name not in ("prompt_id", text)], columns)
    own = {column.original: column.name for column in names}
    # What datasets noted of the source's columns; Arrow's own metadata of the prepared file is not the dataset's.
    features = {own.get(name, name): feature for name, feature in features_of(prompts.schema).items()}
    table = pa.table({**columns, **{name: prompts[original] for original, name in own.items()}})
    table = table.replace_schema_metadata(metadata_of(features))
    return answered(table) if leaves_out_errors(layout) else table


def _sample_index(positions: pa.ChunkedArray, samples: int) -> pa.ChunkedArray:
    # Arrow has no remainder: position - samples * (position // samples)
    whole = pc.multiply(pc.divide(positions, samples), samples)
    return pc.subtract(positions, whole).cast(pa.int32())


def _repeated(value: str | None, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), rows)


class _Ours:
    """The files of a dataset's folder as they were written last; anything else there is somebody's, and kept."""

    def __init__(self, run: RunFolder) -> None:
        self.folder = run.dataset
        self._kept = run.kept
        value = read_json(run.dataset_manifest)
        files = value.get("files", {}) if isinstance(value, dict) else {}
        self.written = {name: file["sha256"] for name, file in files.items()}

    def make_room(self, name: str, new: str | None = None) -> None:
        """Keep what stands under a name if it is neither what was written there last nor `new`, both by SHA-256."""
        path = self.folder / name
        if not path.exists() or (path.is_file() and sha256_of(path) in (new, self.written.get(name))):
            return
        logger.warning("%s was changed by somebody; it is kept as %s.", path, move_into(self._kept, path))

    def write(self, name: str, fill: Callable[[Path], object]) -> Path:
        """Write a file with `fill`."""
        path = self.folder / name
        with atomic_write(path) as temporary:
            fill(temporary)
            self.make_room(name, sha256_of(temporary))
        return path


def _write_shard(ours: _Ours, name: str, table: pa.Table) -> DatasetFile:
    """Write one Parquet file of the dataset."""
    path = ours.write(name, lambda to: pq.write_table(table, to, compression="zstd", row_group_size=_ROW_GROUP))
    return DatasetFile(table.num_rows, path.stat().st_size, sha256_of(path))


def _finish(run: RunFolder, manifest: PromptsManifest, laid_out: LaidOut, write_report: WriteReport) -> None:
    files, counts = laid_out.files, laid_out.counts
    for folder in (run.dataset, run.dataset / "data"):
        remove_stale_temporaries(folder)
    ours = _Ours(run)
    for stale in _unlisted(run.dataset, files):
        ours.make_room(str(stale.relative_to(run.dataset)))
        if stale.exists():  # of an earlier layout of this very run
            with storage_errors(stale):
                stale.unlink()
    if PICTURE in ours.written:  # else it is the report's, of a life that ended before the manifest
        ours.make_room(PICTURE)
    write_report(run)
    text = card_text(run, manifest, counts)
    card = ours.write("README.md", lambda to: to.write_text(text, encoding="utf-8"))
    for path in (card, run.dataset / PICTURE):
        if path.is_file():
            files[path.name] = DatasetFile(0, path.stat().st_size, sha256_of(path))
    dataset = DatasetManifest(recorded_identity(run).fingerprint, files, counts, layout_of(run))
    write_json(run.dataset_manifest, asdict(dataset))
    remember_dataset(run, files)


def _unlisted(folder: Path, files: dict[str, DatasetFile]) -> Iterator[Path]:
    # Young temporaries may be those of another process that lays out the same dataset; what was set aside stays.
    kept = (TEMPORARY_MARK, CORRUPT_MARK)
    there = [path for path in (folder / "data").iterdir() if not any(mark in path.name for mark in kept)]
    return (path for path in there if f"data/{path.name}" not in files)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
