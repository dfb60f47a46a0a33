"""Data folders that a group of users shares: who may write there is said by the folder's own mode.

A folder that its group may write to, and whose setgid bit is set, is shared. What is made in it is
made for the group, whatever the umask, by every process and every version that writes there; a
setting would have to be given, and be the same, each time.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from promptmill.errors import StorageError

_SHARED = stat.S_ISGID | stat.S_IWGRP
_FOLDER = stat.S_ISGID | stat.S_IRWXG
_FILE = stat.S_IRGRP | stat.S_IWGRP


def is_shared(folder: Path) -> bool:
    """Whether a group works in this folder."""
    return folder.stat().st_mode & _SHARED == _SHARED


def share_like_its_folder(path: Path) -> None:
    """Let the group read and write what was made in a shared folder."""
    if is_shared(path.parent) and path.stat().st_uid == os.geteuid():
        _open_to_group(path)


def share_with_group(data: Path) -> None:
    """Make a data folder one that its group shares, with all in it that belongs to this user.

    Raises:
        StorageError: it belongs to somebody else who does not share it.
    """
    data.mkdir(parents=True, exist_ok=True)
    if is_shared(data):
        return
    status = data.stat()
    if status.st_uid != os.geteuid():
        raise StorageError(
            f"{data} belongs to user {status.st_uid}, who does not share it. Ask them to give --group-shared once, "
            f"or to run `chmod -R g+rwX {data}` and `find {data} -type d -exec chmod g+s {{}} +`."
        )
    for folder, _, files in os.walk(data, topdown=False):
        for path in (*(Path(folder) / name for name in files), Path(folder)):
            own = path.lstat()
            if own.st_uid == os.geteuid() and not stat.S_ISLNK(own.st_mode):
                os.chown(path, -1, status.st_gid)
                _open_to_group(path)


def _open_to_group(path: Path) -> None:
    mode = path.stat().st_mode
    path.chmod(stat.S_IMODE(mode) | (_FOLDER if stat.S_ISDIR(mode) else _FILE))
