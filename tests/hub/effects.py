"""What a fault does to the request that it strikes.

An effect may answer in the hub's place, and act at four moments, each a method that does nothing by default: while the
request's body comes in, before it is handled, once it is handled, and while the answer's body goes out.
"""
# ruff: noqa: D102 (the methods are described once, in Effect)

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class Wire(Protocol):
    """What an effect can do to the connection that it strikes."""

    def close(self) -> None:
        """End the connection in an orderly way, and the exchange with it (raises)."""

    def reset(self) -> None:
        """End the connection with a TCP reset, and the exchange with it (raises)."""

    def wait(self, seconds: float) -> None:
        """Pause; the server's end cuts it short."""


class Effect:
    """Does nothing: the base of what a fault can do."""

    def status(self) -> tuple[int, dict[str, str]] | None:
        """An answer in the place of the real one, for which the request is then never handled."""
        return None

    def before(self, wire: Wire) -> None:
        """The request's body has been read; it has not been handled."""

    def upload(self, wire: Wire, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The request's body on its way in."""
        return pieces

    def after(self, wire: Wire) -> None:
        """The request has been handled; nothing of the answer has been sent."""

    def download(self, wire: Wire, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The answer's body on its way out, behind headers that announce all of it."""
        return pieces


@dataclass(frozen=True)
class Status(Effect):
    """An error from a server that did not look at the request (`retry_after` in seconds)."""

    code: int
    retry_after: int | None = None

    def status(self) -> tuple[int, dict[str, str]]:
        return self.code, {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def _cut(pieces: Iterator[bytes], keep: int) -> Iterator[bytes]:
    """The first `keep` bytes."""
    for piece in pieces:
        if keep <= 0:
            return
        yield piece[:keep]
        keep -= len(piece)


@dataclass(frozen=True)
class ResetDownload(Effect):
    """The connection is reset after so many bytes of the answer's body."""

    after_bytes: int = 0

    def download(self, wire: Wire, pieces: Iterator[bytes]) -> Iterator[bytes]:
        yield from _cut(pieces, self.after_bytes)
        wire.wait(0.05)  # a reset discards what the client has not read yet
        wire.reset()


@dataclass(frozen=True)
class ResetUpload(Effect):
    """The connection is reset after so many bytes of the request's body; nothing is handled."""

    after_bytes: int = 0

    def upload(self, wire: Wire, pieces: Iterator[bytes]) -> Iterator[bytes]:
        yield from _cut(pieces, self.after_bytes)
        wire.reset()


@dataclass(frozen=True)
class Stall(Effect):
    """Silence for so many seconds: before the request is handled, or after some bytes of the answer's body."""

    seconds: float
    after_bytes: int | None = None

    def before(self, wire: Wire) -> None:
        if self.after_bytes is None:
            wire.wait(self.seconds)

    def download(self, wire: Wire, pieces: Iterator[bytes]) -> Iterator[bytes]:
        left = self.after_bytes
        for piece in pieces:
            if left is not None and len(piece) >= left:
                yield piece[:left]
                wire.wait(self.seconds)
                piece, left = piece[left:], None
            left = None if left is None else left - len(piece)
            yield piece


@dataclass(frozen=True)
class Truncate(Effect):
    """The answer's body ends early, in an orderly way, though its length was announced."""

    keep_bytes: int = 0

    def download(self, wire: Wire, pieces: Iterator[bytes]) -> Iterator[bytes]:
        yield from _cut(pieces, self.keep_bytes)
        wire.close()


@dataclass(frozen=True)
class Corrupt(Effect):
    """One flipped byte at an offset of the body, of the answer or (`in_upload`) of the request."""

    at: int = 0
    in_upload: bool = False

    def upload(self, wire: Wire, pieces: Iterator[bytes]) -> Iterator[bytes]:
        return self._flip(pieces) if self.in_upload else pieces

    def download(self, wire: Wire, pieces: Iterator[bytes]) -> Iterator[bytes]:
        return pieces if self.in_upload else self._flip(pieces)

    def _flip(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        left = self.at
        for piece in pieces:
            if 0 <= left < len(piece):
                piece = piece[:left] + bytes([piece[left] ^ 0xFF]) + piece[left + 1 :]
            left -= len(piece)
            yield piece


@dataclass(frozen=True)
class LoseAnswer(Effect):
    """The request is handled (a commit is made), then the connection closes without a word."""

    def after(self, wire: Wire) -> None:
        wire.close()


@dataclass(frozen=True)
class Slow(Effect):
    """Bodies pass, in both directions, at so many bytes a second."""

    bytes_per_second: float

    def upload(self, wire: Wire, pieces: Iterator[bytes]) -> Iterator[bytes]:
        return self._pace(wire, pieces)

    def download(self, wire: Wire, pieces: Iterator[bytes]) -> Iterator[bytes]:
        return self._pace(wire, pieces)

    def _pace(self, wire: Wire, pieces: Iterator[bytes]) -> Iterator[bytes]:
        step = max(1, int(self.bytes_per_second / 20))
        started, passed = time.monotonic(), 0
        for piece in pieces:
            for at in range(0, len(piece), step):
                part = piece[at : at + step]
                passed += len(part)
                wire.wait(started + passed / self.bytes_per_second - time.monotonic())
                yield part
