"""The binary formats of Xet storage: xorbs (blocks of compressed chunks) and shards (what lies in which xorb).

Source: github.com/huggingface/xet-core, xet_core_structures (xorb_chunk_format.rs, shard_format.rs, file_structs.rs,
xorb_structs.rs). Hashes are 32 bytes, written in hex as four little-endian 64-bit words.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

SHARD_TAG = b"HFRepoMetaData\0" + bytes(
    [85, 105, 103, 69, 106, 123, 129, 87, 131, 165, 189, 217, 92, 205, 209, 74, 169]
)
ENTRY = 48  # bytes of every record in a shard
BOOKEND = b"\xff" * 32 + b"\0" * 16
WITH_VERIFICATION, WITH_SHA256 = 1 << 31, 1 << 30  # flags of a file in a shard
MAX_CHUNK = 128 * 1024  # the client refuses larger ones
NONE, LZ4, GROUPED_LZ4 = 0, 1, 2  # compression schemes


def to_hex(raw: bytes) -> str:
    """A hash as it stands in URLs."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


def from_hex(text: str) -> bytes:
    """A hash as it stands in shards."""
    return struct.pack("<4Q", *(int(text[at : at + 16], 16) for at in range(0, 64, 16)))


@dataclass(frozen=True)
class Chunk:
    """A chunk inside a xorb: its bytes are `start <= i < stop`, header of eight bytes included."""

    start: int
    stop: int
    scheme: int
    length: int  # once decompressed


def chunks_of(xorb: bytes) -> Iterator[Chunk]:
    """Walk a xorb; what follows the last chunk (a footer, if the client sends one) is left out.

    Raises ValueError if the bytes are no xorb.
    """
    at = 0
    while at < len(xorb) and xorb[at : at + 7] != b"XETBLOB":
        header = xorb[at : at + 8]
        if len(header) < 8 or header[0] != 0 or header[4] not in (NONE, LZ4, GROUPED_LZ4):
            raise ValueError(f"no chunk header at byte {at} of a xorb: {header.hex()}")
        stop = at + 8 + int.from_bytes(header[1:4], "little")
        yield Chunk(at, stop, header[4], int.from_bytes(header[5:8], "little"))
        at = stop
    if at > len(xorb):
        raise ValueError("xorb ends inside a chunk")


def decompress(xorb: bytes, chunk: Chunk) -> bytes:
    """The chunk's content."""
    data = xorb[chunk.start + 8 : chunk.stop]
    if chunk.scheme != NONE:
        data = pa.Codec("lz4").decompress(data, chunk.length, asbytes=True)
    return _ungroup(data) if chunk.scheme == GROUPED_LZ4 else data


def _ungroup(data: bytes) -> bytes:
    """Undo the grouping of every fourth byte that precedes compression of floats."""
    out, at = bytearray(len(data)), 0
    for lane in range(4):
        size = (len(data) + 3 - lane) // 4
        out[lane::4] = data[at : at + size]
        at += size
    return bytes(out)


def plain_xorb(pieces: Iterable[bytes]) -> bytes:
    """A xorb of uncompressed chunks, of at most `MAX_CHUNK` bytes each."""
    out = bytearray()
    for piece in pieces:
        size = len(piece).to_bytes(3, "little")
        out += b"\0" + size + bytes([NONE]) + size + piece
    return bytes(out)


@dataclass(frozen=True)
class Segment:
    """A run of chunks `first <= i < last` of a xorb: files are made of them."""

    xorb: str
    first: int
    last: int
    length: int


@dataclass(frozen=True)
class ShardFile:
    """How a file is put together; `sha256` is None if the client left it out."""

    hash: str
    sha256: str | None
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class ShardXorb:
    """A xorb's record, kept as raw bytes to be handed out again, and the hashes of its chunks."""

    hash: str
    raw: bytes
    chunks: tuple[str, ...]


def parse_shard(data: bytes) -> tuple[list[ShardFile], list[ShardXorb]]:
    """The files and xorbs that a shard describes. Raises ValueError if it is none."""
    if data[:32] != SHARD_TAG:
        raise ValueError("not a shard")
    files, at = _files(data, 48)
    return files, _xorbs(data, at)


def _files(data: bytes, at: int) -> tuple[list[ShardFile], int]:
    files = []
    while data[at : at + 32] != BOOKEND[:32]:
        name = to_hex(data[at : at + 32])
        flags, entries = struct.unpack_from("<II", data, at + 32)
        at += ENTRY
        segments = []
        for _ in range(entries):
            _flags, length, first, last = struct.unpack_from("<4I", data, at + 32)
            segments.append(Segment(to_hex(data[at : at + 32]), first, last, length))
            at += ENTRY
        at += ENTRY * entries if flags & WITH_VERIFICATION else 0
        sha256 = to_hex(data[at : at + 32]) if flags & WITH_SHA256 else None
        at += ENTRY if flags & WITH_SHA256 else 0
        files.append(ShardFile(name, sha256, tuple(segments)))
    return files, at + ENTRY


def _xorbs(data: bytes, at: int) -> list[ShardXorb]:
    xorbs = []
    while data[at : at + 32] != BOOKEND[:32]:
        (entries,) = struct.unpack_from("<I", data, at + 36)
        stop = at + ENTRY * (1 + entries)
        chunks = tuple(to_hex(data[spot : spot + 32]) for spot in range(at + ENTRY, stop, ENTRY))
        xorbs.append(ShardXorb(to_hex(data[at : at + 32]), data[at:stop], chunks))
        at = stop
    return xorbs


def build_shard(xorb: ShardXorb) -> bytes:
    """A shard about one xorb and no file, with the look-up tables and the footer that clients read."""
    header = SHARD_TAG + struct.pack("<QQ", 2, 200)
    info = BOOKEND + xorb.raw + BOOKEND
    word = struct.Struct("<Q").unpack
    tables = struct.pack("<QI", word(from_hex(xorb.hash)[:8])[0], 0)
    keys = sorted((word(from_hex(chunk)[:8])[0], index) for index, chunk in enumerate(xorb.chunks))
    tables += b"".join(struct.pack("<QII", key, 0, index) for key, index in keys)
    lookup = 48 + len(info)
    end = lookup + len(tables)
    footer = struct.pack("<9Q", 1, 48, 48 + ENTRY, lookup, 0, lookup, 1, lookup + 12, len(keys))
    footer += b"\0" * 40 + struct.pack("<Q", 2**64 - 1)  # no key for chunk hashes, creation time, no expiry
    footer += b"\0" * (48 + 24) + struct.pack("<Q", end)
    return header + info + tables + footer
