"""Bytes that the hub serves, in memory or in a file, with the identities that git and LFS give them."""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

PIECE = 64 * 1024
POINTER_SIZE = 134  # what the Hub reports for every LFS pointer of usual length


def git_oid(data: bytes) -> str:
    """The sha1 that git gives to a blob of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Content:
    """Immutable bytes; a path is read on demand, so a large model costs nothing until it is asked for."""

    def __init__(self, source: bytes | Path) -> None:
        self._source = source
        self.size = len(source) if isinstance(source, bytes) else source.stat().st_size

    def read(self) -> bytes:
        """All of it."""
        return self._source if isinstance(self._source, bytes) else self._source.read_bytes()

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes `start <= i < stop`, at most `PIECE` at a time."""
        if isinstance(self._source, bytes):
            for at in range(start, stop, PIECE):
                yield self._source[at : min(at + PIECE, stop)]
            return
        with self._source.open("rb") as file:
            file.seek(start)
            while start < stop and (piece := file.read(min(PIECE, stop - start))):
                start += len(piece)
                yield piece

    @cached_property
    def sha256(self) -> str:
        """Hex digest, which names the bytes in LFS storage."""
        digest = hashlib.sha256()
        for piece in self.pieces(0, self.size):
            digest.update(piece)
        return digest.hexdigest()

    @cached_property
    def git_oid(self) -> str:
        """The blob's sha1 were it stored in git itself."""
        return git_oid(self.read())

    @property
    def identity(self) -> str:
        """Tells contents apart without reading a file (path, size, time of change)."""
        if isinstance(self._source, bytes):
            return self.sha256
        stat = self._source.stat()
        return f"{self._source}:{stat.st_size}:{stat.st_mtime_ns}"


def pointer(sha256: str, size: int) -> bytes:
    """The text that git holds in the place of a file kept in LFS."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
