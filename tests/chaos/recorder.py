"""Records every call that changes the files below a folder, as `disk.Call`s.

It stands in for the functions of `os` that the core's file layer calls, directly or through pathlib. What is
written into files is seen by looking at them before each such call, so that libraries which write by themselves
are seen too; a name that appeared or went without a call is an error: something went round it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR
from typing import Any
from unittest.mock import patch

from tests.chaos.disk import Call

_WATCHED = ("fsync", "mkdir", "rename", "replace", "link", "unlink", "remove", "rmdir")
_real = {name: getattr(os, name) for name in _WATCHED}
_scandir, _open = os.scandir, io.open


class Recorder:
    """What was done below `root` so far, in order.

    Attributes:
        calls: of any thread of this process.
    """

    def __init__(self, root: Path) -> None:
        self.calls: list[Call] = []
        self._root = root.resolve()
        self._files: dict[str, tuple[int, int, int]] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record inside the block."""
        self._files = {path: stamp for path, stamp in self._seen() if stamp is not None}
        with patch.multiple(os, **{name: self._standing_in(name) for name in _WATCHED}), patch("io.open", self._open):
            yield
        self._look()

    def look(self) -> int:
        """Note what was written since the last call; how many calls there are then."""
        self._look()
        return len(self.calls)

    def _open(self, *args: Any, **options: Any) -> Any:
        # Of two files that are made one after the other, the first is seen before the second.
        self._look()
        return _open(*args, **options)

    def _standing_in(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self._look()
            noted = self._noted(name, args, options)
            result = _real[name](*args, **options)
            if noted is not None:
                self._follow(noted)
            return result

        return call

    def _noted(self, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Call | None:
        if name == "fsync":
            path = self._inside(f"/proc/self/fd/{args[0]}", follow=True)
            if path is None:
                return None
            return Call("fsync folder" if (self._root / path).is_dir() else "fsync", path)
        path = self._inside(args[0], options.get("dir_fd") or options.get("src_dir_fd"))
        if path is None:
            return None
        if name in ("rename", "replace", "link"):
            to = self._inside(args[1], options.get("dst_dir_fd"))
            assert to is not None, f"{path} leaves the folder for {args[1]}"
            return Call("link" if name == "link" else "rename", path, to)
        kinds: dict[str, Any] = {"mkdir": "mkdir", "rmdir": "rmdir"}
        return Call(kinds.get(name, "unlink"), path)

    def _follow(self, call: Call) -> None:
        """What a call that succeeded changes in what is known."""
        self.calls.append(call)
        if call.kind == "unlink":
            self._files.pop(call.path)
        elif call.kind == "link":
            self._files[call.to] = self._files[call.path]
        elif call.kind == "rename":
            for path in [path for path in self._files if path == call.path or path.startswith(f"{call.path}/")]:
                self._files[call.to + path[len(call.path) :]] = self._files.pop(path)

    def _look(self) -> None:
        seen = dict(self._seen())
        gone = self._files.keys() - seen.keys()
        assert not gone, f"these names went, and no call took them: {sorted(gone)}"
        for path, stamp in seen.items():
            if stamp is None or self._files.get(path) == stamp:
                continue
            if path not in self._files:
                self.calls.append(Call("create", path))
            else:
                assert self._files[path][0] == stamp[0], f"{path} is another file, and no call made it so"
            with _open(self._root / path, "rb") as file:
                self.calls.append(Call("write", path, content=file.read()))
            self._files[path] = stamp

    def _seen(self) -> Iterator[tuple[str, tuple[int, int, int] | None]]:
        waiting = [self._root]
        while waiting:
            with _scandir(waiting.pop()) as entries:
                for entry in entries:
                    path = str(Path(entry.path).relative_to(self._root))
                    state = entry.stat(follow_symlinks=False)
                    if S_ISDIR(state.st_mode):
                        waiting.append(Path(entry.path))
                        yield path, None
                    else:
                        yield path, (state.st_ino, state.st_size, state.st_mtime_ns)

    def _inside(self, path: Any, folder: int | None = None, *, follow: bool = False) -> str | None:
        text = os.fspath(path)
        if folder is not None:
            text = f"{Path(f'/proc/self/fd/{folder}').readlink()}/{text}"
        whole = Path(text).readlink() if follow else Path(os.path.realpath(Path(text).parent)) / Path(text).name
        return (
            str(whole.relative_to(self._root))
            if whole.is_relative_to(self._root) and whole != self._root
            else ("." if whole == self._root else None)
        )
