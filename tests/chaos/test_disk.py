"""A disk that fails at any call costs what was not committed, says so in a sentence, and the next start goes on."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from promptmill.errors import NotFound, StorageError
from tests.chaos.small_run import PROMPTS, Rows, SmallRun

TAKING = ("mkdir", "rename", "replace", "link", "fsync")
"""The calls that a disk without room may refuse; a file's bytes come to it with fsync at the latest."""
REMOVING = ("unlink", "rmdir")
_real = {name: getattr(os, name) for name in (*TAKING, *REMOVING)}


@pytest.fixture
def small(tmp_path: Path, tiny_gpt2: Path) -> SmallRun:
    """The small run."""
    return SmallRun(tmp_path / "small", tiny_gpt2)


@pytest.fixture
def expected(tmp_path: Path, tiny_gpt2: Path) -> dict[str, bytes]:
    """Its dataset."""
    calm = SmallRun(tmp_path / "calm", tiny_gpt2)
    calm.live()
    return calm.dataset()


@contextmanager
def failing(root: Path, code: int, at: int, *, once: bool, calls: tuple[str, ...]) -> Iterator[list[str]]:
    """Calls below `root` fail from number `at` on, or that one alone; yields the names of those that were made."""
    made: list[str] = []

    def standing_in(name: str) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **options: Any) -> Any:
            place = Path(f"/proc/self/fd/{path}").readlink() if name == "fsync" else os.fspath(path)
            if str(place).startswith(str(root)):
                made.append(name)
                if len(made) == at + 1 if once else len(made) > at:
                    raise OSError(code, os.strerror(code))
            return _real[name](path, *args, **options)

        return call

    with patch.multiple(os, **{name: standing_in(name) for name in calls}):
        yield made


@pytest.mark.parametrize(
    ("code", "once", "calls", "words", "step"),
    [
        (errno.ENOSPC, False, TAKING, "there is no space left on the device", 5),
        pytest.param(errno.ENOSPC, False, TAKING, "there is no space left on the device", 1, marks=pytest.mark.long),
        (errno.EDQUOT, False, TAKING, "your disk quota is used up", 15),
        (errno.EROFS, False, TAKING + REMOVING, "the file system is read-only", 7),
        (errno.EACCES, False, TAKING + REMOVING, "permission is denied", 11),
        (errno.EIO, True, TAKING, "the device reports an input/output error", 7),
        (errno.ESTALE, True, TAKING, "the network file system lost the file", 10),
    ],
    ids=["full", "full at every call", "quota", "read-only", "permission", "device", "stale"],
)
def test_a_disk_that_fails_at_any_call(
    small: SmallRun, expected: dict[str, bytes], code: int, once: bool, calls: tuple[str, ...], words: str, step: int
) -> None:
    """The run ends with 74 and the reason; once the disk is well the same command makes the same dataset."""
    at, failed = 0, 0
    while True:
        shutil.rmtree(small.data, ignore_errors=True)
        kept: Rows = []
        with failing(small.data, code, at, once=once, calls=calls) as made:
            ended, said = small.attempt(kept)
        if ended == 0:
            break
        assert ended == StorageError.exit_code, said
        assert words in "\n".join(said)
        assert not any("Traceback" in line for line in said), "\n".join(said)
        again = small.live()
        assert not set(kept) & set(again), "a committed row was made again"
        assert small.dataset() == expected
        failed, at = failed + 1, at + step
    assert failed > 60 / step
    assert len(made) <= at + 1 or once


def test_a_full_file_system_is_filled_again_and_again(small: SmallRun, expected: dict[str, bytes]) -> None:
    """A real one, with a page more room each time: what was committed stays, and at last the dataset is there."""
    small.data.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(small.data)], capture_output=True, check=False
    )
    if mounted.returncode:
        assert not os.environ.get("PROMPTMILL_REQUIRE_MOUNT"), mounted.stderr
        pytest.skip("this user may not mount a file system")
    try:
        kept: set[tuple[int, int]] = set()
        stops = 0
        for pages in range(1, 400):
            size = f"remount,size={4 * pages}k"
            subprocess.run(["mount", "-o", size, str(small.data)], check=True, capture_output=True)
            rows: Rows = []
            ended, said = small.attempt(rows)
            assert not kept & set(rows)
            kept |= set(rows)
            if ended == 0:
                break
            assert ended == StorageError.exit_code, said
            assert "there is no space left on the device" in "\n".join(said)
            stops += 1
        assert stops > 5
        assert small.dataset() == expected
        assert len(small.rows()) == PROMPTS
    finally:
        subprocess.run(["umount", str(small.data)], check=True)


@pytest.mark.parametrize("gone", ["shards", "progress", "prompts", ""], ids=["shards", "progress", "prompts", "all"])
def test_a_folder_that_is_removed_under_the_run(small: SmallRun, expected: dict[str, bytes], gone: str) -> None:
    """Somebody tidies up in the middle: no traceback, and the next start makes what is missing."""

    class Removing(Rows):
        def append(self, row: tuple[int, int]) -> None:
            super().append(row)
            if len(self) == 2:
                shutil.rmtree(small.run.path / gone)

    ended, said = small.attempt(Removing())
    assert ended in (0, NotFound.exit_code, StorageError.exit_code), said
    assert not any("Traceback" in line for line in said)
    small.live()
    assert small.dataset() == expected
