"""Repositories: files, commits that stay readable, branches and tags."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from tests.hub.content import Content, git_oid, pointer
from tests.hub.errors import HubError, revision_not_found

# Kept in LFS or Xet whatever their size: the Hub's own .gitattributes, the endings met in tests.
LFS_ENDINGS = (".arrow", ".bin", ".gguf", ".gz", ".model", ".npy", ".onnx", ".parquet", ".pkl", ".pt", ".pth",
               ".safetensors", ".tar", ".zip", ".zst")  # fmt: skip
GITATTRIBUTES = "".join(f"*{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in LFS_ENDINGS).encode()
LARGE = 10 * 1024 * 1024  # bytes; the Hub takes no larger file outside LFS


def belongs_in_lfs(path: str, size: int, sample: bytes) -> bool:
    """The Hub's choice between git and large file storage, from a file's first bytes."""
    return path.endswith(LFS_ENDINGS) or size > LARGE or b"\0" in sample


@dataclass(frozen=True)
class File:
    """A file in a commit; `xet_hash` is set if it can be had from Xet storage."""

    content: Content
    lfs: bool
    xet_hash: str | None = None

    @property
    def oid(self) -> str:
        """Of git's blob, which for LFS holds a pointer."""
        return git_oid(pointer(self.content.sha256, self.content.size)) if self.lfs else self.content.git_oid

    @property
    def etag(self) -> str:
        """What clients compare: the sha256 of large files, git's oid of others."""
        return self.content.sha256 if self.lfs else self.content.git_oid


@dataclass(frozen=True)
class Commit:
    """A snapshot of all files."""

    oid: str
    parent: str | None
    title: str
    message: str
    author: str
    date: datetime
    files: Mapping[str, File]


@dataclass
class Repo:
    """`kind` is model, dataset or space; `gated` is False, "auto" or "manual" as in the Hub's answers."""

    kind: str
    id: str
    private: bool = False
    gated: bool | str = False
    granted: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    unsafe: frozenset[str] = frozenset()  # paths that the security scan warns of
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    log: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """Empty for the Hub's few repositories without one."""
        return self.id.rpartition("/")[0]

    def at(self, revision: str = "main") -> Commit:
        """The commit of a branch, tag, `refs/...` or (also abbreviated) oid."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        oid = self.branches.get(name) or self.tags.get(name)
        if oid is None and len(revision) >= 7:
            oid = next((known for known in self.log if known.startswith(revision)), None)
        if oid is None:
            raise revision_not_found(revision)
        return self.log[oid]

    def history(self, revision: str = "main") -> Iterator[Commit]:
        """The commit and its ancestors, newest first."""
        oid: str | None = self.at(revision).oid
        while oid is not None:
            commit = self.log[oid]
            yield commit
            oid = commit.parent

    def commit(
        self, files: Mapping[str, File], title: str, *, message: str = "", author: str = "", branch: str = "main",
        expected_parent: str | None = None,
    ) -> Commit:  # fmt: skip
        """Put a new snapshot on a branch; 412 if its head is not `expected_parent`."""
        parent = self.branches.get(branch)
        if expected_parent is not None and parent != expected_parent:
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        digest = hashlib.sha1(f"{self.kind} {self.id} {parent} {len(self.log)} {title}\n".encode())
        for path in sorted(files):
            digest.update(f"{path}\0{files[path].content.identity}\n".encode())
        oid = digest.hexdigest()
        self.log[oid] = Commit(oid, parent, title, message, author, datetime.now(timezone.utc), dict(files))
        self.branches[branch] = oid
        return self.log[oid]
