"""The lines of a text file, plain or compressed, decoded strictly and one at a time."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
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
                if number == 1 and line.startswith(_UTF_16):
                    problems.add(f"{file.name}, line 1", "is UTF-16; save the file as UTF-8")
                    return
                text = decoded(line.removeprefix(BOM) if number == 1 else line, file, number, problems)
                if text is not None:
                    yield number, text
    except (EOFError, zlib.error, pa.ArrowException, OSError) as error:
        problems.add(f"{file.name}, after line {number}", damage(error, file))


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
        if file.compression == ".gz":
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw))
        elif file.compression == ".zst":
            yield cast(BinaryIO, io.BufferedReader(pa.CompressedInputStream(raw, "zstd"), _BUFFER))
        else:
            yield raw


def damage(error: BaseException, file: PromptFile) -> str:
    """What a failed read means: damage of the content, unless the operating system refuses.

    Raises:
        StorageError: the disk or its permissions are at fault, not the content.
    """
    if isinstance(error, OSError) and error.errno is not None:
        raise StorageError(f"Cannot read {file.name}: {error.strerror}. Check the disk, then try again.") from error
    reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return f"the file is cut off or damaged ({reason})"
