"""The one place that writes to disk: a file is there whole, or it is not there.

Temporary file beside the target → fsync → rename → fsync of the folder. A temporary that a
kill leaves behind does no harm: nothing reads it, and `remove_stale_temporaries` takes it away.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from promptmill.errors import StorageError
from promptmill.sharing import share_like_its_folder

TEMPORARY_MARK = ".tmp-"
CORRUPT_MARK = ".corrupt"
CHECKSUM = "checksum"
"""What a record of ours has besides its value: a digit that a bad disk changed would still be JSON."""
_BLOCK = 1 << 20
_STORAGE_ERRORS = {
    errno.ENOSPC: "there is no space left on the device",
    errno.EDQUOT: "your disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "a folder of the path is not there and cannot be made",
    errno.EACCES: "permission is denied",
    errno.EPERM: "the operation is not permitted",
    errno.EIO: "the device reports an input/output error",
    errno.ENAMETOOLONG: "the name is too long for the file system",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a file stands where a folder has to be",
    errno.EISDIR: "a folder stands where a file has to be",
    errno.ELOOP: "the path has too many symbolic links",
    errno.ESTALE: "the network file system lost the file (stale handle)",
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about `path` into a `StorageError` with a way out."""
    try:
        yield
    except OSError as error:
        if error.errno not in _STORAGE_ERRORS:
            raise
        raise StorageError(_storage_message(path, error.errno)) from error


def _storage_message(path: Path, code: int) -> str:
    reason = _STORAGE_ERRORS[code]
    if code in (errno.ENOSPC, errno.EDQUOT):
        advice = "Free some space or name another folder with --data-dir"
    else:
        advice = "Choose a folder that you may write to with --data-dir"
    return (
        f"Cannot write {path}: {reason}. {advice}, then start the same command again; "
        "everything committed so far is kept and will not be made again."
    )


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it becomes `path`, durably.

    Raises:
        StorageError: the disk is full, read-only, or not ours to write.
    """
    temporary = path.parent / f".{path.name[:80]}{TEMPORARY_MARK}{os.getpid()}-{uuid.uuid4().hex[:8]}"
    with storage_errors(path):
        make_folder(path.parent)
        try:
            yield temporary
            share_like_its_folder(temporary)
            _fsync(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Like `atomic_write` for a whole folder of files; the first writer wins, a later one is dropped."""
    temporary = path.parent / f".{path.name[:80]}{TEMPORARY_MARK}{os.getpid()}-{uuid.uuid4().hex[:8]}"
    with storage_errors(path):
        make_folder(temporary)
        try:
            yield temporary
            mode = temporary.stat().st_mode
            for file in temporary.rglob("*"):
                # Safetensors are written 0600, whatever the umask: they get what the folder got.
                file.chmod(stat.S_IMODE(mode) if file.is_dir() else mode & 0o666)
                _fsync(file)
            fsync_folder(temporary)
            if not path.exists():
                os.rename(temporary, path)
        finally:
            _remove_tree(temporary)
        fsync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing; within a shared one they are shared.

    Their names last as a file's does: a power cut takes none of them with what was committed in them.
    """
    missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        share_like_its_folder(path)
        # One may be allowed to make folders where one may not look.
        with suppress(PermissionError):
            fsync_folder(path.parent)


def write_json(path: Path, value: object) -> None:
    """Write `value` as readable JSON, atomically and durably; a dictionary with a checksum of its own."""
    with atomic_write(path) as temporary:
        temporary.write_text(_readable(value), encoding="utf-8")


def create_json(path: Path, value: object) -> bool:
    """Write `value` unless `path` is there already; of several processes exactly one gets True.

    A hard link either makes the name or fails, on local and network file systems alike, so no
    lock is needed to let the first process decide for all.
    """
    temporary = path.parent / f".{path.name}{TEMPORARY_MARK}{os.getpid()}-{uuid.uuid4().hex[:8]}"
    with storage_errors(path):
        make_folder(path.parent)
        temporary.write_text(_readable(value), encoding="utf-8")
        share_like_its_folder(temporary)
        _fsync(temporary)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        fsync_folder(path.parent)
    return True


def append_line(path: Path, line: str) -> None:
    """Add a line to a file in one write, so that a kill tears at most the last; a power cut may take some."""
    with storage_errors(path):
        make_folder(path.parent)
        with path.open("ab") as file:
            file.write(f"{line}\n".encode())
        share_like_its_folder(path)  # the number of this process comes again, perhaps as another user's


def read_json(path: Path) -> Any | None:
    """The value in `path`, or None if it is not there or is damaged (torn, zeroed, a bit flipped)."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if not isinstance(value, dict) or CHECKSUM not in value:
        return value  # a list, or of a version that wrote none
    checksum = value.pop(CHECKSUM)
    return value if checksum == _checksum(value) else None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def set_aside(path: Path) -> Path:
    """Rename a damaged file out of the way, never delete it; returns where it is now."""
    aside = path.with_name(f"{path.name}{CORRUPT_MARK}-{uuid.uuid4().hex[:8]}")
    with storage_errors(path):
        os.replace(path, aside)
        fsync_folder(path.parent)
    return aside


def move_into(folder: Path, path: Path) -> Path:
    """Move what is not ours to replace into `folder`, under its name or one like it; returns where it is now."""
    target = folder / path.name
    if target.exists():
        target = folder / f"{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}"
    with storage_errors(target):
        make_folder(folder)
        os.replace(path, target)
        fsync_folder(folder)
        fsync_folder(path.parent)
    return target


def remove_stale_temporaries(folder: Path, *, older_than_seconds: float = 24 * 3600) -> None:
    """Delete temporaries that a killed process left in `folder`; young ones may be in use."""
    limit = time.time() - older_than_seconds
    for path in folder.glob(f".*{TEMPORARY_MARK}*"):
        try:
            if path.stat().st_mtime < limit:
                _remove_tree(path) if path.is_dir() else path.unlink()
        except FileNotFoundError:
            continue


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    _fsync(folder)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_tree(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _readable(value: object) -> str:
    if isinstance(value, dict):
        value = {**value, CHECKSUM: _checksum(json.loads(json.dumps(value)))}
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _checksum(value: dict[str, Any]) -> str:
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]
