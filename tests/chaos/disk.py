"""What may be on disk after a power cut, by the rules of POSIX.

A file's bytes are safe once the file was fsynced; before, they may be missing, cut at any byte, or
zeros. Names in a folder are safe once the folder was fsynced; before, changes of one folder are kept
up to some point in their order, those of different folders independently of each other. A folder
whose own name did not last takes all that is in it along.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Literal

Kind = Literal["look", "create", "write", "fsync", "fsync folder", "rename", "link", "unlink", "mkdir", "rmdir"]
Tree = dict[str, bytes | None]
"""Path → content; None for a folder."""


@dataclass(frozen=True)
class State:
    """What may be left.

    Attributes:
        tree: all that is sure.
        torn: the one file that is neither whole nor empty, and is not in the tree; None if there is none.
        content: of the torn file.
        mark: the same for the same tree.
    """

    tree: Tree
    mark: bytes
    torn: str | None = None
    content: bytes = b""

    @classmethod
    def of(cls, tree: Tree) -> State:
        """A state in which no file is torn."""
        digest = hashlib.sha256()
        for path, content in sorted(tree.items()):
            digest.update(f"{path}\0{'folder' if content is None else len(content)}\0".encode())
            digest.update(content or b"")
        return cls(tree, digest.digest())

    @property
    def whole(self) -> Tree:
        """Everything."""
        return self.tree if self.torn is None else self.tree | {self.torn: self.content}


@dataclass(frozen=True)
class Call:
    """One call that changes a file system, with paths relative to the folder that is watched.

    Attributes:
        path: what is changed; the old name of a rename or a link.
        to: the new name.
        content: of the file after a write.
    """

    kind: Kind
    path: str
    to: str = ""
    content: bytes = b""


@dataclass
class _File:
    content: bytes = b""
    durable: bool = False


@dataclass
class _Folder:
    """Names that lasted, and changes since: a name and what it came to stand for, None for nothing."""

    lasting: dict[str, _File | _Folder] = field(default_factory=dict)
    changes: list[list[tuple[str, _File | _Folder | None]]] = field(default_factory=list)

    def names(self, changes: int | None = None) -> dict[str, _File | _Folder]:
        """The names after so many of the changes; after all by default."""
        names = dict(self.lasting)
        for change in self.changes[:changes]:
            for name, node in change:
                if node is None:
                    names.pop(name, None)
                else:
                    names[name] = node
        return names


class Disk:
    """Takes calls one by one; tells what a power cut after them may leave."""

    def __init__(self) -> None:
        self._root = _Folder()

    def take(self, call: Call) -> None:
        """Do what the call does; a look does nothing."""
        if call.kind == "look":
            return
        folder, name = self._place(call.path)
        if call.kind == "create":
            folder.changes.append([(name, _File())])
        elif call.kind == "mkdir":
            folder.changes.append([(name, _Folder())])
        elif call.kind in ("unlink", "rmdir"):
            folder.changes.append([(name, None)])
        elif call.kind == "write":
            file = self._file(call.path)
            file.content, file.durable = call.content, False
        elif call.kind == "fsync":
            self._file(call.path).durable = True
        elif call.kind == "fsync folder":
            synced = self._folder(call.path)
            synced.lasting, synced.changes = synced.names(), []
        else:
            self._name_again(call, folder, name)

    def states(self, cuts: Cuts) -> Iterator[State]:
        """Every state that a power cut at this moment may leave, as `cuts` cuts files that were not fsynced."""
        folders = list(_folders(self._root))
        for kept in itertools.product(*(range(len(folder.changes) + 1) for folder in folders)):
            lengths = {id(folder): length for folder, length in zip(folders, kept, strict=True)}
            tree = dict(_tree(self._root, lengths, PurePosixPath()))
            unsafe = [path for path, node in tree.items() if isinstance(node, _File) and not node.durable]
            whole: Tree = {path: node.content if isinstance(node, _File) else None for path, node in tree.items()}
            yield State.of(whole)
            yield State.of(whole | dict.fromkeys(unsafe, b""))
            for path in unsafe:
                rest = State.of({other: content for other, content in whole.items() if other != path})
                for torn in cuts.of(whole[path] or b""):
                    yield replace(rest, torn=path, content=torn)

    def _name_again(self, call: Call, folder: _Folder, name: str) -> None:
        target, new = self._place(call.to)
        node = folder.names()[name]
        if call.kind == "link":
            target.changes.append([(new, node)])
        elif target is folder:
            folder.changes.append([(name, None), (new, node)])
        else:
            raise NotImplementedError(f"a rename from one folder to another: {call.path} to {call.to}")

    def _place(self, path: str) -> tuple[_Folder, str]:
        parts = PurePosixPath(path)
        return self._folder(str(parts.parent)), parts.name

    def _folder(self, path: str) -> _Folder:
        node: _File | _Folder = self._root
        for part in PurePosixPath(path).parts:
            assert isinstance(node, _Folder), path
            node = node.names()[part]
        assert isinstance(node, _Folder), path
        return node

    def _file(self, path: str) -> _File:
        folder, name = self._place(path)
        node = folder.names()[name]
        assert isinstance(node, _File), path
        return node


@dataclass(frozen=True)
class Cuts:
    """How a file that was not fsynced may look.

    Attributes:
        every_byte: cut after each byte; else at the ends and in the middle.
    """

    every_byte: bool

    def of(self, content: bytes) -> Iterable[bytes]:
        """The contents besides the whole and nothing: cut, and zeros in the place of all or the rest."""
        size = len(content)
        places = range(1, size) if self.every_byte else sorted({1, size // 2, size - 1} & set(range(1, size)))
        yield bytes(size)
        for place in places:
            yield content[:place]
            yield content[:place] + bytes(size - place)


def _folders(folder: _Folder) -> Iterator[_Folder]:
    """The folder and all below it, removed or renamed ones too as long as that may not have lasted."""
    seen: dict[int, _Folder] = {}
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        if id(here) in seen:
            continue
        seen[id(here)] = here
        nodes = [*here.lasting.values(), *(node for change in here.changes for _, node in change)]
        waiting.extend(node for node in nodes if isinstance(node, _Folder))
    yield from seen.values()


def _tree(folder: _Folder, kept: dict[int, int], path: PurePosixPath) -> Iterator[tuple[str, _File | _Folder]]:
    for name, node in folder.names(kept[id(folder)]).items():
        yield str(path / name), node
        if isinstance(node, _Folder):
            yield from _tree(node, kept, path / name)
