"""A finished dataset is compared with its digests when its command is given again.

A file whose size and time of change are those of the last look is not read once more: of a dataset that
nobody touched that would be hundreds of gigabytes at every start.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from promptmill.errors import StorageError
from promptmill.files import move_into, read_json, sha256_of, write_json
from promptmill.run import RunFolder

logger = logging.getLogger(__name__)


class Listed(Protocol):
    """What a manifest says of a file."""

    @property
    def bytes(self) -> int:
        """Its length."""

    @property
    def sha256(self) -> str:
        """Its digest."""


def verify_dataset(run: RunFolder, files: Mapping[str, Listed]) -> list[Path]:
    """Set aside the files that are not what the manifest lists; returns where they are now.

    Args:
        files: those of the manifest, by their path in the dataset's folder.

    Raises:
        StorageError: one of them cannot be renamed.
    """
    seen, aside, looked = _seen(run), [], False
    for name, file in files.items():
        path = run.dataset / name
        if not path.is_file() or seen.get(name) == _sight(path, file):
            continue
        looked = True
        if path.stat().st_size != file.bytes or sha256_of(path) != file.sha256:
            aside.append(move_into(run.kept, path))
            logger.warning(
                "%s is not the file that dataset.json lists: it is kept as %s, and made anew from the rows.",
                path,
                aside[-1],
            )
    if looked:
        # A folder that may only be read is looked at again next time.
        with suppress(StorageError):
            remember_dataset(run, files)
    return aside


def remember_dataset(run: RunFolder, files: Mapping[str, Listed]) -> None:
    """Note the files as they are now, as they are known to be right.

    Raises:
        StorageError: the note cannot be written.
    """
    there = {name: file for name, file in files.items() if (run.dataset / name).is_file()}
    write_json(_note(run), {name: _sight(run.dataset / name, file) for name, file in there.items()})


def _seen(run: RunFolder) -> dict[str, object]:
    value = read_json(_note(run))
    return value if isinstance(value, dict) else {}


def _sight(path: Path, file: Listed) -> list[object]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, file.sha256]


def _note(run: RunFolder) -> Path:
    return run.path / "dataset-seen.json"
