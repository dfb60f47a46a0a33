"""The files of a repository at a commit, and whether local ones are the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from promptmill.files import sha256_of

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile


@dataclass(frozen=True)
class RemoteFile:
    """A file as the Hub lists it.

    Attributes:
        digest: SHA-256 of the content for large files, git's SHA-1 for small ones.
        large: whether it is kept in LFS or Xet storage.
    """

    path: str
    size: int
    digest: str
    large: bool

    def is_same_as(self, file: Path) -> bool:
        """Whether a local file has this very content."""
        return file.stat().st_size == self.size and self.digest == self._digest_of(file)

    def holds(self, content: bytes) -> bool:
        """Whether it has this very content."""
        digest = hashlib.sha256(content).hexdigest() if self.large else git_oid(content)
        return len(content) == self.size and self.digest == digest

    def _digest_of(self, file: Path) -> str:
        return sha256_of(file) if self.large else git_oid(file.read_bytes())


@dataclass(frozen=True)
class RemoteRepo:
    """A repository at one commit.

    Attributes:
        name: as the Hub has it, which is another than was asked for if it was renamed; empty if nobody asked.
        private: None if nobody asked.
    """

    commit: str
    files: dict[str, RemoteFile]
    name: str = ""
    private: bool | None = None


def git_oid(content: bytes) -> str:
    """The SHA-1 that git gives to a blob of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def remote_head(repo: str, kind: str) -> RemoteRepo:
    """A repository as it is now.

    Raises:
        The exceptions of huggingface_hub; see `hub_errors`.
    """
    from huggingface_hub import HfApi

    info = HfApi().repo_info(repo, repo_type=kind)
    commit = str(info.sha)
    return RemoteRepo(commit, remote_files(repo, kind, commit), str(info.id), info.private)


def head_if_any(repo: str, kind: str) -> RemoteRepo | None:
    """A repository as it is now; None if there is none, or the account may not see it.

    Raises:
        The other exceptions of huggingface_hub; see `hub_errors`.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return remote_head(repo, kind)
    except RepositoryNotFoundError:
        return None


def small_file(repo: str, remote: RemoteRepo, name: str) -> bytes:
    """The content of a small file of a dataset repository.

    Raises:
        The exceptions of huggingface_hub; see `hub_errors`.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils._headers import build_hf_headers
    from huggingface_hub.utils._http import hf_raise_for_status

    url = f"{constants.ENDPOINT}/datasets/{repo}/resolve/{remote.commit}/{name}"
    answer = get_session().get(url, headers=build_hf_headers())
    hf_raise_for_status(answer)
    return bytes(answer.content)


def remote_files(repo: str, kind: str, commit: str) -> dict[str, RemoteFile]:
    """All files of a repository at a commit, by path.

    Raises:
        The exceptions of huggingface_hub; see `hub_errors`.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    listed = HfApi().list_repo_tree(repo, recursive=True, revision=commit, repo_type=kind)
    return {entry.path: _of(entry) for entry in listed if isinstance(entry, RepoFile)}


def _of(entry: RepoFile) -> RemoteFile:
    if entry.lfs is None:
        return RemoteFile(entry.path, entry.size, entry.blob_id, large=False)
    return RemoteFile(entry.path, entry.lfs.size, entry.lfs.sha256, large=True)
