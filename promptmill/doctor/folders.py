"""The folders that promptmill writes to: room, quota, and whether the file system keeps what it promises."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from promptmill.doctor.values import Finding, Verdict
from promptmill.errors import StorageError
from promptmill.files import create_json, read_json, write_json
from promptmill.hub.space import readable, room_for
from promptmill.mounts import MOUNTS, Mount, mount_of

CACHE_LEAST, CACHE_EASY = 2 * 10**9, 20 * 10**9
"""Bytes: a small model in 16 bits; a model of 7 billion parameters with some room."""
DATA_LEAST, DATA_EASY = 10**8, 2 * 10**9


def check_cache() -> list[Finding]:
    """The cache of the Hub's files."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    there = _existing(folder)
    do = "Set HF_HOME to a folder with more room (on a cluster often a scratch folder)."
    if not os.access(there, os.W_OK | os.X_OK):
        return [Finding("cache", "fail", f"{folder}: no permission to write in {there}", do)]
    return [_room("cache", folder, CACHE_LEAST, CACHE_EASY, do)]


def check_data(data: Path, mounts: Path = MOUNTS) -> list[Finding]:
    """The data folder: promises, room, file system; `mounts` is the kernel's table of them."""
    there = _existing(data)
    trouble = _broken_promise(there)
    if trouble is not None:
        says = f"{data.absolute()}: {trouble}"
        return [Finding("data folder", "fail", says, "Name another folder with --data-dir, here and in runs.")]
    new = "" if data.exists() else " (made by the first run)"
    kept = f"{data.absolute()}{new}: files are written, fsynced, linked and renamed whole"
    return [
        Finding("data folder", "pass", kept),
        _room("data room", data, DATA_LEAST, DATA_EASY, "Free some, or name another folder with --data-dir."),
        _file_system(mount_of(there, mounts), on_cluster=shutil.which("sbatch") is not None),
    ]


def _broken_promise(folder: Path) -> str | None:
    """What the file system cannot do of all that a run relies on; None if it can everything."""
    try:
        with tempfile.TemporaryDirectory(prefix=".promptmill-doctor-", dir=folder) as name:
            path = Path(name) / "file.json"
            write_json(path, 1)  # temporary file, fsync, rename, fsync of the folder
            write_json(path, 2)
            if read_json(path) != 2:
                return "a file that was replaced is not read back as it was written"
            if not create_json(Path(name) / "other.json", 1) or create_json(path, 3):
                return "a hard link does not decide which of two processes was first"
    except StorageError as error:
        return str(error.__cause__)
    except OSError as error:
        return str(error)
    return None


def _room(check: str, folder: Path, least: int, easy: int, do: str) -> Finding:
    room = room_for(folder)
    says = f"{readable(room.bytes)} left by {room.limit} in {folder.absolute()}"
    verdict: Verdict = "fail" if room.bytes < least else "warn" if room.bytes < easy else "pass"
    return Finding(check, verdict, says, None if verdict == "pass" else do)


def _file_system(mount: Mount | None, *, on_cluster: bool) -> Finding:
    check = "file system"
    if mount is None:
        return Finding(check, "warn", "not known, as this machine has no /proc/self/mounts")
    says = f"{mount.kind} on {mount.source}"
    if mount.is_network:
        return Finding(check, "pass", f"{says}, a network file system; no locks are needed on it")
    if mount.is_in_memory:
        do = "Name a folder on a disk with --data-dir."
        return Finding(check, "warn", f"{says}: in memory, and gone when the machine restarts", do)
    if on_cluster:
        do = "Where jobs run on other nodes, name a folder that they see as well with --data-dir."
        return Finding(check, "warn", f"{says}, a file system of this machine alone", do)
    return Finding(check, "pass", f"{says}, a file system of this machine")


def _existing(folder: Path) -> Path:
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.is_dir())
