"""Where prompts come from: the files behind a path or glob, or a dataset on the Hub."""

from __future__ import annotations

import difflib
import glob
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from promptmill.errors import ConfigurationError, NotFound
from promptmill.files import sha256_of, storage_errors

FORMATS = {
    ".txt": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
KNOWN = f"{', '.join(FORMATS)}, and all but .parquet also as {', '.join(COMPRESSIONS[:-1])} or {COMPRESSIONS[-1]}"
_HUB_ID = re.compile(r"(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(?::(?P<split>[\w.-]+))?", re.ASCII)


@dataclass(frozen=True)
class PromptFile:
    """One file of prompts.

    Attributes:
        name: how messages call it.
        compression: the ending that says so; what the file is compressed with, its first bytes say (`lines.opened`).
    """

    path: Path
    name: str
    format: str
    compression: str | None


@dataclass(frozen=True)
class FileSource:
    """The files that a path or a glob stands for, in the order they are read."""

    typed: str
    files: tuple[PromptFile, ...]

    def stamp(self) -> tuple[tuple[int, int], ...]:
        """Sizes and times of the files, to notice that one changes while it is read."""
        stats = [file.path.stat() for file in self.files]
        return tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)


@dataclass(frozen=True)
class HubSource:
    """A dataset on the Hub; no split means `train`, or the only one there is."""

    typed: str
    repo: str
    split: str | None


def locate(source: str) -> FileSource | HubSource:
    """The files or the Hub dataset that `--prompts` names.

    Raises:
        NotFound: no such file, no match of the glob.
        ConfigurationError: standard input, a folder, or a kind of file that is not read.
    """
    if source in ("-", "/dev/stdin"):
        raise ConfigurationError(
            "--prompts - reads standard input, which a run that starts again cannot read twice. "
            "Save it to a file first: `... > prompts.txt`, then --prompts prompts.txt."
        )
    path = _expanded(source)
    if _is_there(path) and path.is_dir():
        raise ConfigurationError(
            f"--prompts {source} is a folder; name its files with a glob: --prompts {_glob_in(path)}"
        )
    if _is_there(path):
        return FileSource(source, (_prompt_file(path),))
    if any(mark in source for mark in "*?["):
        return FileSource(source, _matches(source))
    return _on_the_hub(source, path)


def source_digest(source: str) -> str:
    """SHA-256 of what `--prompts` stands for: the content of the files, or the Hub dataset as typed.

    For a glob the names of the files, relative to their common folder, are part of it.
    """
    found = locate(source)
    if isinstance(found, HubSource):
        return hashlib.sha256(f"hub\0{source}".encode()).hexdigest()
    folder = os.path.commonpath([file.path.parent for file in found.files])
    single = len(found.files) == 1 and found.files[0].path == _expanded(source)
    digest = hashlib.sha256()
    for file in found.files:
        name = f"{file.format}{file.compression or ''}" if single else os.path.relpath(file.path, folder)
        with storage_errors(file.path):
            digest.update(f"{name}\0{sha256_of(file.path)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def absolute_source(source: str) -> str:
    """The source so that it means the same from any folder: paths and globs made absolute.

    Raises:
        NotFound, ConfigurationError: see `locate`.
    """
    if isinstance(locate(source), HubSource):
        return source
    return os.path.abspath(_expanded(source))  # noqa: PTH100, as links stay as they were typed


def _expanded(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError:  # no such user
        return Path(source)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # longer than a name may be: the prompt itself, perhaps
        return False


def _matches(pattern: str) -> tuple[PromptFile, ...]:
    found = sorted(glob.glob(str(_expanded(pattern)), recursive=True))  # noqa: PTH207, as it may be absolute
    paths = [path for path in map(Path, found) if not path.is_dir()]
    if not paths:
        raise NotFound(
            f"No file matches --prompts {pattern}. Look with `ls {pattern}`, and quote the pattern in the shell."
        )
    return tuple(_prompt_file(path) for path in paths)


def _prompt_file(path: Path) -> PromptFile:
    if not path.is_file():
        raise ConfigurationError(
            f"--prompts {path} is not a regular file and cannot be read twice; save it to a file first."
        )
    suffix, compression = path.suffix.lower(), None
    if suffix in COMPRESSIONS:
        suffix, compression = path.with_suffix("").suffix.lower(), suffix
    if suffix not in FORMATS or (suffix == ".parquet" and compression):
        raise ConfigurationError(f"The format of {path} is not known from its ending. Give it one of: {KNOWN}.")
    return PromptFile(path, str(path), FORMATS[suffix], compression)


def _on_the_hub(source: str, path: Path) -> HubSource:
    looks_like_a_path = source.startswith((".", "/", "~")) or path.suffix.lower() in {*FORMATS, *COMPRESSIONS}
    match = None if looks_like_a_path else _HUB_ID.fullmatch(source)
    if match:
        return HubSource(source, match["repo"], match["split"])
    if os.path.islink(path):  # noqa: PTH114, as it answers for names that are too long as well
        raise NotFound(
            f"--prompts {source} is a link that leads nowhere, or in a circle ({path.readlink()}). "
            "Name the file itself."
        )
    hub = "" if looks_like_a_path else " Nor is it a Hub dataset: these are written org/name or org/name:split."
    if "://" in source:
        hub = f" Addresses are not read: download it first, `curl -LO {source}`."
    raise NotFound(f"There is no file {source} (looked in {path.parent}).{_similar(path)}{hub}")


def _similar(path: Path) -> str:
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return f" There is no folder {path.parent} either."
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {path.parent / close[0]}?" if close else ""


def _glob_in(folder: Path) -> str:
    endings = [entry.suffix.lower() for entry in sorted(folder.iterdir()) if entry.suffix.lower() in FORMATS]
    return f"'{folder}/*{endings[0] if endings else '.jsonl'}'"
