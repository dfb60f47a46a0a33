"""The lines of a text file, plain or compressed, decoded strictly and one at a time."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import pyarrow as pa

from promptmill.errors import StorageError
from promptmill.prompts.problems import Problems
from promptmill.prompts.source import PromptFile

LONGEST_LINE = 64_000_000
_BUFFER = 1 << 17
BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def numbered_lines(file: PromptFile, problems: Problems) -> Iterator[tuple[int, str]]:
    """Each line with its number from 1, its line end kept; a line that is not UTF-8 is a problem."""
    number = 0
    try:
        with opened(file) as stream:
            while line := stream.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    problems.add(f"{file.name}, line {number}", f"is longer than {LONGEST_LINE // 1_000_000} MB")
                    return
                other = next((what for magic, what in _OTHER_KINDS.items() if line.startswith(magic)), None)
                if number == 1 and other is not None:
                    problems.add(file.name, f"is {other}")
                    return
                if number == 1 and line.startswith(_UTF_16):
                    problems.add(f"{file.name}, line 1", "is UTF-16; save the file as UTF-8")
                    return
                text = decoded(line.removeprefix(BOM) if number == 1 else line, file, number, problems)
                if text is not None:
                    yield number, text
    except DAMAGES as error:
        problems.add(place(file, number), damage(error, file))


def decoded(line: bytes, file: PromptFile, number: int, problems: Problems) -> str | None:
    """The text of a line; None, and a problem, if it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 at byte {error.start + 1} (0x{line[error.start]:02x}); save the file as UTF-8"
        problems.add(f"{file.name}, line {number}", what)
        return None


@contextmanager
def opened(file: PromptFile) -> Iterator[BinaryIO]:
    """The decompressed bytes of a file as a buffered stream.

    Raises:
        StorageError: the file may not be opened.
    """
    try:
        raw = file.path.open("rb", buffering=_BUFFER)
    except OSError as error:
        raise StorageError(f"Cannot read {file.name}: {error.strerror}. Check it with `ls -l {file.name}`.") from error
    with raw:
        yield _decompressed(raw)


def _decompressed(raw: BinaryIO) -> BinaryIO:
    """The bytes within, whatever the file is called: what it is compressed with stands at its beginning."""
    start = raw.read(_LONGEST_MAGIC)
    raw.seek(0)
    return next((read(raw) for magic, read in _COMPRESSIONS if magic.match(start)), raw)


def _zstd(raw: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(pa.CompressedInputStream(raw, "zstd"), _BUFFER))


_COMPRESSIONS: tuple[tuple[re.Pattern[bytes], Callable[[BinaryIO], BinaryIO]], ...] = (
    (re.compile(rb"\x1f\x8b"), lambda raw: cast(BinaryIO, gzip.GzipFile(fileobj=raw))),
    (re.compile(rb"\x28\xb5\x2f\xfd"), _zstd),
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), lambda raw: cast(BinaryIO, bz2.BZ2File(raw))),
    (re.compile(rb"\xfd7zXZ\0"), lambda raw: cast(BinaryIO, lzma.LZMAFile(raw))),  # noqa: SIM115, as raw is closed
)
_LONGEST_MAGIC = 10
DAMAGES = (EOFError, zlib.error, lzma.LZMAError, pa.ArrowException, OSError)
"""What reading a file raises whose content is at fault, or its disk."""
_OTHER_KINDS = {b"PK\x03\x04": "a zip archive; unpack it", b"PAR1\x15": "Parquet; call it .parquet"}


def place(file: PromptFile, line: int) -> str:
    """Where a file could be read no further, for messages."""
    return f"{file.name}, after line {line}" if line else file.name


def damage(error: BaseException, file: PromptFile) -> str:
    """What a failed read means: damage of the content, unless the operating system refuses.

    Raises:
        StorageError: the disk or its permissions are at fault, not the content.
    """
    if isinstance(error, OSError) and error.errno is not None:
        raise StorageError(f"Cannot read {file.name}: {error.strerror}. Check the disk, then try again.") from error
    reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return f"the file is cut off or damaged ({reason})"
