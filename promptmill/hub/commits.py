"""Which commit brings a dataset repository nearer to what it is to hold; nothing is asked of the Hub here.

The plan is made anew from what the repository holds, before every commit. So it does not matter
where an earlier attempt ended, nor whether the answer to its last commit arrived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from promptmill.errors import StorageError
from promptmill.files import sha256_of
from promptmill.hub.marker import MARKER
from promptmill.hub.remote import RemoteFile, RemoteRepo

CARD = "README.md"
DATA = "data/"


@dataclass(frozen=True)
class LocalFile:
    """A file to publish."""

    path: Path
    bytes: int
    sha256: str

    def is_same_as(self, remote: RemoteFile | None) -> bool:
        """Whether the repository has this very content; the local file is read only if git holds the other."""
        if remote is None or remote.size != self.bytes:
            return False
        return remote.digest == self.sha256 if remote.large else remote.is_same_as(self.path)

    def require_sound(self) -> None:
        """See that the file on disk still is what the dataset's manifest says.

        Raises:
            StorageError: it is not; how to make it anew.
        """
        if not self.path.is_file() or self.path.stat().st_size != self.bytes or sha256_of(self.path) != self.sha256:
            raise StorageError(
                f"{self.path} is damaged: it is not the file that dataset.json lists. Move dataset.json away and start "
                "BuildDataset again; the dataset is laid out anew from the rows that are committed."
            )


@dataclass(frozen=True)
class Publication:
    """What a dataset repository is to hold.

    Attributes:
        files: the data, by path in the repository; nothing else stays in its `data/`.
        marker: whose dataset it is; see `promptmill.hub.marker`.
        card: comes with the last commit, so that it never announces what is not there.
        interim_card: stands in its place until then, where one commit is not enough.
    """

    files: Mapping[str, LocalFile]
    marker: bytes
    card: bytes
    interim_card: bytes


@dataclass(frozen=True)
class Step:
    """One commit.

    Attributes:
        files: of the data.
        texts: small files, by path.
        removed: paths that go.
        left: files of the data that later commits bring.
    """

    files: Mapping[str, LocalFile]
    texts: Mapping[str, bytes]
    removed: tuple[str, ...]
    left: int

    @property
    def bytes(self) -> int:
        """Of all that the commit brings."""
        return sum(file.bytes for file in self.files.values()) + sum(map(len, self.texts.values()))


def next_step(wanted: Publication, remote: RemoteRepo, *, most_bytes: int) -> Step | None:
    """The next commit, of about `most_bytes` or of one file; None once the repository holds what it is to."""
    outdated = {name: file for name, file in wanted.files.items() if not file.is_same_as(remote.files.get(name))}
    group = _first(outdated, most_bytes)
    left = len(outdated) - len(group)
    texts = {MARKER: wanted.marker, CARD: wanted.interim_card if left else wanted.card}
    changed = {name: text for name, text in texts.items() if not _holds(remote, name, text)}
    removed = () if left else tuple(name for name in remote.files if name.startswith(DATA) and name not in wanted.files)
    step = Step(group, changed, removed, left)
    return step if group or changed or removed else None


def _first(files: Mapping[str, LocalFile], most_bytes: int) -> dict[str, LocalFile]:
    group: dict[str, LocalFile] = {}
    size = 0
    for name, file in files.items():
        size += file.bytes
        if group and size > most_bytes:
            break
        group[name] = file
    return group


def _holds(remote: RemoteRepo, name: str, content: bytes) -> bool:
    return name in remote.files and remote.files[name].holds(content)
