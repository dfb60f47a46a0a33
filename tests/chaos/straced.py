"""The calls of a process as the kernel saw them, from what `strace` wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.disk import Call

TRACED = (
    "open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,ftruncate,truncate,fallocate,"
    "fsync,fdatasync,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir"
)
STRACE = ("strace", "-f", "-y", "-s", "0", "-e", f"trace={TRACED}")
"""`-y` prints the paths of descriptors; `-s 0` leaves out what was written."""

_LINE = re.compile(r"^(?:\[pid +)?\d*\]? *(\w+)\((.*)\) += (\d+)")
_DESCRIPTOR = re.compile(r"^(?:\d+|AT_FDCWD)<(.*?)>")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


def calls(trace: Path, root: Path) -> list[Call]:
    """The calls that changed something below `root`, without what was written."""
    found: list[Call] = []
    made: set[str] = set()
    for line in _joined(trace.read_text(errors="surrogateescape").splitlines()):
        call = _call(line, root)
        # What lines are added to is opened in the same way when it is there already.
        if call is not None and not (call.kind == "create" and "O_APPEND" in line and call.path in made):
            found.append(call)
            made.add(call.path)
    return found


def _joined(lines: list[str]) -> Iterator[str]:
    """Lines in which a call that another thread interrupted is whole again, where it ended."""
    begun: dict[str, str] = {}
    for line in lines:
        thread = line.split(maxsplit=1)[0]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>")
        elif "resumed>" in line:
            yield begun.pop(thread).rstrip() + line.split("resumed>", 1)[1]
        else:
            yield line


def _call(line: str, root: Path) -> Call | None:
    match = _LINE.match(line)
    if match is None:
        return None  # it failed, or is a signal
    name, arguments, _ = match.groups()
    paths = [path for path in _paths(name, arguments) if path is not None]
    inside = [path.relative_to(root).as_posix() for path in paths if path.is_relative_to(root)]
    if not inside or (inside[0] == "." and "sync" not in name):
        return None
    if name in ("open", "openat", "creat"):
        return Call("create", inside[0]) if "O_CREAT" in arguments else None
    if name in ("fsync", "fdatasync"):
        return Call("fsync folder" if (root / inside[0]).is_dir() else "fsync", inside[0])
    if name.startswith(("rename", "link")):
        return Call("link" if name.startswith("link") else "rename", *inside)
    if name == "rmdir" or "AT_REMOVEDIR" in arguments:
        return Call("rmdir", inside[0])
    if name.startswith("unlink"):
        return Call("unlink", inside[0])
    return Call("mkdir" if name.startswith("mkdir") else "write", inside[0])


def _paths(name: str, arguments: str) -> Iterator[Path | None]:
    """The absolute paths that a call names: by descriptor, by a folder's descriptor and a name, or by name."""
    if name.startswith(("write", "pwrite", "fsync", "fdatasync", "ftruncate", "fallocate", "sendfile", "copy_file")):
        match = _DESCRIPTOR.match(arguments)
        yield Path(match[1]) if match else None
        return
    folders: list[str] = re.findall(r"(?:\d+|AT_FDCWD)<(.*?)>", arguments.split('"', 1)[0])
    for number, quoted in enumerate(_QUOTED.findall(arguments)):
        path = Path(quoted.encode().decode("unicode_escape"))
        yield path if path.is_absolute() else Path(folders[min(number, len(folders) - 1)], path)
