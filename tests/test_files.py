"""Files are there whole, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from promptmill.errors import StorageError
from promptmill.files import (
    atomic_folder,
    atomic_write,
    create_json,
    read_json,
    remove_stale_temporaries,
    set_aside,
    storage_errors,
    write_json,
)


def test_a_written_file_is_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    """After the block there is the target alone."""
    with atomic_write(tmp_path / "a" / "file") as temporary:
        temporary.write_text("text")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]
    assert (tmp_path / "a" / "file").read_text() == "text"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """An exception in the block changes nothing on disk."""
    write_json(tmp_path / "file", 1)
    with pytest.raises(ValueError, match="halfway"), atomic_write(tmp_path / "file") as temporary:
        temporary.write_text("torn")
        raise ValueError("halfway")
    assert read_json(tmp_path / "file") == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_of_two_creators_the_first_wins(tmp_path: Path) -> None:
    """The second learns that it was not the first, and the file stays."""
    assert create_json(tmp_path / "file", "first")
    assert not create_json(tmp_path / "file", "second")
    assert read_json(tmp_path / "file") == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_of_two_folders_the_first_wins(tmp_path: Path) -> None:
    """A folder that is there already is left alone."""
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "file").write_text(text)
    assert (tmp_path / "folder" / "file").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b'{"torn": ', b"\x00" * 40, b"\xff\xfe"])
def test_a_damaged_json_file_counts_as_missing(tmp_path: Path, content: bytes) -> None:
    """Torn, zeroed or not text at all: None, as if it were not there."""
    (tmp_path / "file").write_bytes(content)
    assert read_json(tmp_path / "file") is None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_errors_of_the_disk_say_what_to_do(tmp_path: Path, code: int) -> None:
    """Full, quota, read-only and permission become one sentence with the path and the option."""
    with pytest.raises(StorageError, match=r"--data-dir.*start the same command again"), storage_errors(tmp_path / "x"):
        raise OSError(code, os.strerror(code))


def test_a_damaged_file_is_set_aside_not_deleted(tmp_path: Path) -> None:
    """Its bytes are still there, under another name."""
    (tmp_path / "file").write_bytes(b"bad")
    aside = set_aside(tmp_path / "file")
    assert aside.read_bytes() == b"bad"
    assert ".corrupt" in aside.name
    assert not (tmp_path / "file").exists()


def test_only_old_temporaries_are_removed(tmp_path: Path) -> None:
    """A young one may belong to a process that is still writing it."""
    old, young = tmp_path / ".a.tmp-1-x", tmp_path / ".b.tmp-2-y"
    for path in (old, young):
        path.touch()
    os.utime(old, (0, 0))
    remove_stale_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [young.name]
