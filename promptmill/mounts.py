"""On which file system a folder lies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

NETWORK = frozenset(
    {"nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "afs", "cifs", "smb3", "smbfs", "9p", "glusterfs", "orangefs",
     "pvfs2", "panfs", "wekafs", "vastnfs", "fuse.glusterfs", "fuse.sshfs", "fuse.ceph", "fuse.ceph-fuse", "fhgfs"}
)  # fmt: skip
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True)
class Mount:
    """What is mounted somewhere.

    Attributes:
        source: a device, or `server:/path`.
        kind: type of the file system, as the kernel names it.
    """

    source: str
    kind: str

    @property
    def is_network(self) -> bool:
        """Whether other machines see the same files."""
        return self.kind in NETWORK

    @property
    def is_in_memory(self) -> bool:
        """Whether its files are gone when the machine restarts."""
        return self.kind in IN_MEMORY


def mount_of(folder: Path, table: Path = MOUNTS) -> Mount | None:
    """The mount that a folder lies on; None where the kernel does not say."""
    try:
        lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    path = os.path.realpath(folder)
    found = [words for words in map(str.split, lines) if len(words) >= 3 and _is_below(path, _plain(words[1]))]
    if not found:
        return None
    # Of two mounts on one point the later one is seen.
    source, _, kind, *_ = max(reversed(found), key=lambda words: len(words[1]))
    return Mount(_plain(source), kind)


def _is_below(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _plain(text: str) -> str:
    """The kernel writes blanks in paths as octal numbers."""
    for code, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, plain)
    return text
