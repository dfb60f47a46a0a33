"""The archive of the golden runs: no trace in it of the machine that made them, and unpacked as if made here.

Paths of that machine are placeholders in it. A record (JSON) in which one is replaced gets its checksum from
a copy of the rule of then, so that a change of the rule is noticed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARCHIVE = Path(__file__).with_name("runs.tar.xz")
ROOT, PYTHON = "@ROOT@", "@PYTHON@"

Replace = Callable[[str], str]


@dataclass(frozen=True)
class Packed:
    """A file as it lies in the archive.

    Attributes:
        changed: seconds since 1970.
    """

    name: str
    content: bytes
    changed: int


def packed(folder: Path, name: str, replace: Replace) -> list[Packed]:
    """Every file below a folder, as the folder `name`; `replace` takes this machine's places out of all texts."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = _rewritten(path.name, path.read_bytes(), replace)
            place = f"{name}/{path.relative_to(folder).with_name(replace(path.name))}"
            found.append(Packed(place, content, int(path.stat().st_mtime)))
    return found


def write_archive(files: list[Packed], path: Path) -> None:
    """Write them all, without a user's name or number."""
    with tarfile.open(path, "w:xz", preset=9) as archive:
        for file in files:
            member = tarfile.TarInfo(file.name)
            member.size, member.mtime = len(file.content), file.changed
            archive.addfile(member, io.BytesIO(file.content))


def read_archive(path: Path = ARCHIVE) -> list[Packed]:
    """All files of the archive."""
    files = []
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None, f"{member.name} is no file"
            files.append(Packed(member.name, content.read(), int(member.mtime)))
    return files


def unpack(name: str, root: Path) -> Path:
    """Lay the files of the folder `name` out below `root`, as if they had been made there; returns the folder."""
    for file in read_archive():
        if file.name.startswith(f"{name}/"):
            path = root / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_rewritten(path.name, file.content, _places_of(root, script=path.suffix == ".sbatch")))
            os.utime(path, (file.changed, file.changed))
    return root / name


def _places_of(root: Path, *, script: bool) -> Replace:
    """What puts this machine's places where the placeholders are; quoted for the shell in a script."""
    places = {ROOT: str(root), PYTHON: sys.executable}

    def replace(text: str) -> str:
        for placeholder, place in places.items():
            text = text.replace(placeholder, shlex.quote(place) if script else place)
        return text

    return replace


def _rewritten(name: str, content: bytes, replace: Replace) -> bytes:
    """The content of a file with its texts replaced; one that has none of them stays as it is, byte by byte."""
    suffix = Path(name).suffix
    if suffix == ".json":
        value = json.loads(content)
        other = _mapped(value, replace)
        return content if other == value else _record(other).encode()
    return replace(content.decode()).encode() if suffix in (".jsonl", ".sbatch") else content


def _mapped(value: Any, replace: Replace) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(item, replace) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, replace) for item in value]
    return replace(value) if isinstance(value, str) else value


def _record(value: dict[str, Any]) -> str:
    """A record as it was written then, with the checksum of then."""
    plain = {key: item for key, item in value.items() if key != "checksum"}
    canonical = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    checksum = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    return json.dumps({**plain, "checksum": checksum}, indent=2, ensure_ascii=False) + "\n"
