"""Is there room for a download: on the file system of the cache, and in the user's quota?"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from promptmill.errors import StorageError
from promptmill.mounts import mount_of

_UNITS = ("B", "kB", "MB", "GB", "TB")
_QUOTA_BLOCK = 1024


@dataclass(frozen=True)
class Room:
    """Bytes that may still be written somewhere, and what limits them."""

    bytes: int
    limit: str


def require_room(needed: int, folder: Path, what: str) -> None:
    """Refuse to begin what cannot end.

    Raises:
        StorageError: too little, with the sizes, the folder and the variable to set.
    """
    room = room_for(folder)
    if needed > room.bytes:
        raise no_room(what, needed, folder, room)


def no_room(what: str, needed: int, folder: Path, room: Room | None = None) -> StorageError:
    """The same message before a download and in the middle of one."""
    room = room or room_for(folder)
    return StorageError(
        f"There is no space for {what}: {readable(needed)} are missing, and {room.limit} leaves {readable(room.bytes)} "
        f"in {folder}. Free some, or set HF_HOME to a folder with more room (on a cluster often a scratch folder), "
        "then start the same command again; files that arrived whole are kept."
    )


def room_for(folder: Path) -> Room:
    """The least of what the file system and the user's quota on it leave."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    rooms = [Room(shutil.disk_usage(there).free, "the file system")]
    left = _quota_left(there)
    if left is not None:
        rooms.append(Room(left, "your quota"))
    return min(rooms, key=lambda room: room.bytes)


def readable(size: int) -> str:
    """Bytes as people read them."""
    power = min(max(len(str(abs(size))) - 1, 0) // 3, len(_UNITS) - 1)
    return f"{size / 1000**power:.{1 if power else 0}f} {_UNITS[power]}"


def _quota_left(folder: Path) -> int | None:
    """What `quota` leaves the user on the file system of `folder`; None where it has no answer."""
    if shutil.which("quota") is None:
        return None
    try:
        # -w: one line a file system. It exits with 1 where a quota is exceeded, and still answers.
        answer = subprocess.run(["quota", "-w"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parsed_quota(answer, device_of(folder))


def parsed_quota(answer: str, device: str | None) -> int | None:
    """Bytes left by the line of `device` in what `quota -w` prints; None without such a line or limit."""
    for line in answer.splitlines():
        words = line.split()
        if len(words) < 4 or words[0] != device:
            continue
        used, soft, hard = (int(re.sub(r"\D", "", word) or 0) for word in words[1:4])
        limit = hard or soft
        return max(0, limit - used) * _QUOTA_BLOCK if limit else None
    return None


def device_of(folder: Path) -> str | None:
    """What is mounted where `folder` lies, as `quota` names it."""
    mount = mount_of(folder)
    return mount.source if mount else None
