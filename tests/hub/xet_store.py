"""What Xet storage holds: xorbs, how files are put together from them, and where each chunk lies."""

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.hub.content import Content
from tests.hub.xet_format import (
    MAX_CHUNK,
    Chunk,
    Segment,
    ShardFile,
    ShardXorb,
    chunks_of,
    decompress,
    parse_shard,
    plain_xorb,
)

XORB = 256  # chunks in a xorb that the hub itself makes


@dataclass
class XetStore:
    """All keys are hashes in hex."""

    xorbs: dict[str, bytes] = field(default_factory=dict)
    chunks: dict[str, tuple[Chunk, ...]] = field(default_factory=dict)  # of each xorb
    files: dict[str, ShardFile] = field(default_factory=dict)
    by_sha256: dict[str, str] = field(default_factory=dict)  # to the file's hash
    holder: dict[str, ShardXorb] = field(default_factory=dict)  # of each chunk hash
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def add_xorb(self, name: str, data: bytes) -> bool:
        """Keep a xorb; False if it was there. Raises ValueError if it is none."""
        chunks = tuple(chunks_of(data))
        with self._lock:
            new = name not in self.xorbs
            self.xorbs[name], self.chunks[name] = data, chunks
        return new

    def add_shard(self, data: bytes) -> None:
        """Take in what a shard says. Raises ValueError if it names a xorb that was never uploaded."""
        files, xorbs = parse_shard(data)
        missing = {part.xorb for file in files for part in file.segments} - self.xorbs.keys()
        if missing:
            raise ValueError(f"the shard refers to xorbs that were not uploaded: {sorted(missing)}")
        with self._lock:
            for file in files:
                self._add_file(file)
            for xorb in xorbs:
                self.holder.update(dict.fromkeys(xorb.chunks, xorb))

    def _add_file(self, file: ShardFile) -> None:
        self.files[file.hash] = file
        self.by_sha256[file.sha256 or self._joined(file).sha256] = file.hash

    def _joined(self, file: ShardFile) -> Content:
        return Content(b"".join(self._segment(segment) for segment in file.segments))

    def _segment(self, segment: Segment) -> bytes:
        xorb = self.xorbs[segment.xorb]
        chunks = self.chunks[segment.xorb][segment.first : segment.last]
        return b"".join(decompress(xorb, chunk) for chunk in chunks)

    def content(self, sha256: str) -> Content | None:
        """A file's bytes, None if it never came; ValueError if what came is not what was announced."""
        if sha256 not in self.by_sha256:
            return None
        content = self._joined(self.files[self.by_sha256[sha256]])
        if content.sha256 != sha256:
            raise ValueError(f"the uploaded chunks make {content.sha256}, not {sha256}")
        return content

    def seed(self, content: Content) -> str:
        """Cut content into uncompressed chunks and return a hash for it, made up: clients do not check it."""
        with self._lock:
            if content.sha256 not in self.by_sha256:
                segments = tuple(self._seed_xorbs(content))
                name = hashlib.sha256(b"file" + content.sha256.encode()).hexdigest()
                self._add_file(ShardFile(name, content.sha256, segments))
            return self.by_sha256[content.sha256]

    def _seed_xorbs(self, content: Content) -> list[Segment]:
        segments, span = [], MAX_CHUNK * XORB
        for start in range(0, content.size, span):
            stop = min(start + span, content.size)
            data = b"".join(content.pieces(start, stop))
            pieces = [data[at : at + MAX_CHUNK] for at in range(0, len(data), MAX_CHUNK)]
            name = hashlib.sha256(f"xorb {content.sha256} {start}".encode()).hexdigest()
            self.add_xorb(name, plain_xorb(pieces))
            segments.append(Segment(name, 0, len(pieces), len(data)))
        return segments

    def reconstruction(self, file: ShardFile, start: int, stop: int) -> tuple[int, list[Segment]]:
        """The runs of chunks that cover the bytes `start <= i < stop`, and where `start` lies in the first."""
        terms: list[Segment] = []
        at = offset = 0
        for segment in file.segments:
            kept: list[tuple[int, int]] = []
            for index in range(segment.first, segment.last):
                length = self.chunks[segment.xorb][index].length
                if at < stop and at + length > start:
                    offset = offset if terms or kept else start - at
                    kept.append((index, length))
                at += length
            if kept:
                size = sum(length for _, length in kept)
                terms.append(Segment(segment.xorb, kept[0][0], kept[-1][0] + 1, size))
        return offset, terms

    def byte_range(self, xorb: str, first: int, last: int) -> dict[str, int]:
        """Where a run of chunks lies in its xorb, both ends included (as in a Range header)."""
        chunks = self.chunks[xorb]
        return {"start": chunks[first].start, "end": chunks[last - 1].stop - 1}


def merged_runs(segments: Iterable[Segment]) -> list[tuple[str, int, int]]:
    """The chunks that segments use, as (xorb, first, last) without overlaps, in order; neighbours become one."""
    runs: list[tuple[str, int, int]] = []
    for xorb, first, last in sorted((segment.xorb, segment.first, segment.last) for segment in segments):
        if runs and runs[-1][0] == xorb and first <= runs[-1][2]:
            runs[-1] = (xorb, runs[-1][1], max(last, runs[-1][2]))
        else:
            runs.append((xorb, first, last))
    return runs
