"""A shard on disk: chunks that are committed one by one, then the manifest that completes it.

    shards/00003/chunk-000001-<sha>.parquet    rows that finished since the last commit
    shards/00003.json                          the manifest: written last, proves all rows are there

A chunk's name carries the SHA-256 of its bytes, so a torn, zeroed or flipped file is found by
reading it, without an index that could itself be torn. The number orders the chunks; where two
processes filled the same shard by mistake, the first chunk by name that has a row wins, so every
reader sees the same rows.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from promptmill.errors import NotFound, StorageError
from promptmill.files import atomic_write, read_json, remove_stale_temporaries, set_aside, storage_errors, write_json
from promptmill.libraries import Versions, library_versions
from promptmill.parquet import read_parquet
from promptmill.rows import SCHEMA, Row, to_table

logger = logging.getLogger(__name__)

_CHUNK_NAME = re.compile(r"chunk-(\d{6,})-([0-9a-f]{16})\.parquet")


@dataclass(frozen=True)
class ShardCounts:
    """What a shard holds: its rows and tokens, and how the rows ended.

    Attributes:
        uncounted: rows without an error whose prompt or completion tokens nobody counted; they are in no sum of tokens.
    """

    rows: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    stop: int = 0
    length: int = 0
    error: int = 0
    uncounted: int = 0

    @classmethod
    def of(cls, table: pa.Table) -> ShardCounts:
        """Count the rows of `table`."""
        reasons = Counter(table["finish_reason"].to_pylist())
        return cls(
            rows=table.num_rows,
            prompt_tokens=pc.sum(table["prompt_tokens"]).as_py() or 0,
            completion_tokens=pc.sum(table["completion_tokens"]).as_py() or 0,
            stop=reasons["stop"],
            length=reasons["length"],
            error=reasons["error"],
            uncounted=pc.sum(_uncounted(table)).as_py() or 0,
        )

    def __add__(self, other: ShardCounts) -> ShardCounts:
        return ShardCounts(**{key: value + getattr(other, key) for key, value in asdict(self).items()})


@dataclass(frozen=True)
class ShardManifest:
    """The proof that a shard is complete.

    Attributes:
        libraries: the versions that its chunks were made with; more than one set if they changed meanwhile.
    """

    shard: int
    fingerprint: str
    chunks: tuple[str, ...]
    counts: ShardCounts
    libraries: tuple[Versions, ...] = ()


def chunks_in(folder: Path) -> list[Path]:
    """The chunks of all the shards in a run's folder of shards, by name."""
    return sorted(folder.glob("*/chunk-*.parquet"))


def fingerprints_of_rows(folder: Path) -> set[str]:
    """The fingerprints that the chunks there carry; damaged ones have none."""
    found = set()
    for chunk in chunks_in(folder):
        with suppress(OSError, ValueError):
            found.add((pq.read_schema(chunk).metadata or {}).get(b"fingerprint", b"").decode())
    return found


class ShardStore:
    """The chunks and the manifest of one shard of one run.

    Args:
        folder: the run's `shards` folder.
        fingerprint: of the run; chunks of any other are set aside.
        rows: how many rows the complete shard has.
        record: a file of the run without which nothing is committed: nobody could tell whose rows they are.
    """

    def __init__(self, folder: Path, shard: int, *, fingerprint: str, rows: int, record: Path | None = None) -> None:
        self.shard = shard
        self.rows = rows
        self._fingerprint = fingerprint
        self._folder = folder / f"{shard:05d}"
        self._manifest = folder / f"{shard:05d}.json"
        self._record = record

    @property
    def manifest_path(self) -> Path:
        """Where the manifest is, or will be."""
        return self._manifest

    def manifest(self) -> ShardManifest | None:
        """The manifest if the shard is complete; None if it is not, or the file is damaged or another's."""
        try:
            manifest = _manifest_from_json(read_json(self._manifest))
        except (KeyError, TypeError):
            return None
        return manifest if (manifest.fingerprint, manifest.shard) == (self._fingerprint, self.shard) else None

    def read(self) -> pa.Table:
        """All rows committed so far, by position, each once; damaged chunks are set aside."""
        tables = [table for _, table in self._sound_chunks()]
        return _first_of_each_position(tables)

    def commit(self, rows: list[Row]) -> None:
        """Make `rows` durable as one chunk; when this returns, no kill loses them.

        Raises:
            NotFound: somebody removed the run.
            StorageError: the disk is full, read-only, or not ours to write.
        """
        if self._record is not None and not self._record.exists():
            raise NotFound(
                f"{self._record} was removed while rows were generated. Start the same command again: it makes what "
                "is not there."
            )
        libraries = json.dumps(library_versions(), sort_keys=True)
        metadata = {"fingerprint": self._fingerprint, "shard": str(self.shard), "libraries": libraries}
        content = _parquet_bytes(to_table(sorted(rows, key=lambda row: row.position), metadata))
        digest = hashlib.sha256(content).hexdigest()[:16]
        path = self._folder / f"chunk-{self._next_number():06d}-{digest}.parquet"
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)

    def complete(self) -> ShardManifest:
        """Write the manifest once every row is committed.

        Raises:
            StorageError: rows that were committed are gone again: removed, or damaged and set aside.
        """
        chunks = dict(self._sound_chunks())
        table = _first_of_each_position(list(chunks.values()))
        if table.num_rows != self.rows:
            raise StorageError(
                f"Shard {self.shard} has {table.num_rows} of its {self.rows} rows: files of {self._folder} were "
                "removed or damaged while it was filled. Start the same command again; the missing rows are made again."
            )
        libraries = _libraries_of(chunks.values())
        if self._manifest.exists() and self.manifest() is None:
            logger.warning(
                "%s is damaged, or another's; it is set aside as %s.", self._manifest, set_aside(self._manifest)
            )
        manifest = ShardManifest(self.shard, self._fingerprint, tuple(chunks), ShardCounts.of(table), libraries)
        write_json(self._manifest, asdict(manifest))
        return manifest

    def read_complete(self, manifest: ShardManifest) -> pa.Table | None:
        """The rows of a complete shard, or None if it turned out damaged.

        In that case the damaged chunk and the manifest are set aside, so that the shard counts as
        unfinished and only the rows that were lost are made again.
        """
        table = self.read()
        if table.num_rows == self.rows:
            return table
        logger.warning(
            "Shard %d lost %d rows to damaged files; they are made again.", manifest.shard, self.rows - table.num_rows
        )
        set_aside(self._manifest)
        return None

    def _sound_chunks(self) -> Iterator[tuple[str, pa.Table]]:
        if not self._folder.is_dir():
            return
        remove_stale_temporaries(self._folder)
        for path in sorted(self._folder.glob("chunk-*.parquet")):
            table = self._read_chunk(path)
            if table is not None:
                yield path.name, table

    def _read_chunk(self, path: Path) -> pa.Table | None:
        with storage_errors(path):
            content = path.read_bytes()
        name = _CHUNK_NAME.fullmatch(path.name)
        if name is None or hashlib.sha256(content).hexdigest()[:16] != name[2]:
            logger.warning(
                "%s is damaged; it is set aside as %s and its rows are made again.", path, set_aside(path).name
            )
            return None
        table = read_parquet(io.BytesIO(content))
        of = table.schema.metadata.get(b"fingerprint"), table.schema.metadata.get(b"shard")
        if of != (self._fingerprint.encode(), str(self.shard).encode()):
            logger.warning("%s belongs to another run or shard; it is set aside as %s.", path, set_aside(path).name)
            return None
        # Versions before this one wrote columns of tokens that hold no null.
        return table.cast(SCHEMA.with_metadata(table.schema.metadata))

    def _next_number(self) -> int:
        names = (_CHUNK_NAME.fullmatch(path.name) for path in self._folder.glob("chunk-*.parquet"))
        return 1 + max((int(name[1]) for name in names if name), default=0)


def _uncounted(table: pa.Table) -> pa.ChunkedArray:
    unknown = pc.or_(pc.is_null(table["prompt_tokens"]), pc.is_null(table["completion_tokens"]))
    return pc.and_(unknown, pc.not_equal(table["finish_reason"], "error"))


def _first_of_each_position(tables: list[pa.Table]) -> pa.Table:
    if not tables:
        return to_table([], {})
    table = pa.concat_tables(tables).replace_schema_metadata(None)
    positions = table["position"].to_pylist()
    first: dict[int, int] = {}
    for index, position in enumerate(positions):
        first.setdefault(position, index)
    return table.take([first[position] for position in sorted(first)])


def _parquet_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _manifest_from_json(value: Any) -> ShardManifest:
    counts = ShardCounts(**value["counts"])
    chunks, libraries = tuple(value["chunks"]), tuple(value.get("libraries", ()))
    return ShardManifest(value["shard"], value["fingerprint"], chunks, counts, libraries)


def _libraries_of(chunks: Iterable[pa.Table]) -> tuple[Versions, ...]:
    """Each set of versions once; chunks of a promptmill that did not note them tell nothing."""
    noted = {chunk.schema.metadata.get(b"libraries") for chunk in chunks}
    return tuple(json.loads(one) for one in sorted(one for one in noted if one is not None))
