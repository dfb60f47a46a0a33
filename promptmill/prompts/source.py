"""Where prompts come from: the files behind a path or glob, or a dataset on the Hub."""

from __future__ import annotations

import difflib
import glob
import hashlib
import itertools
import json
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

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
    ".arrow": "arrow",
}
_WHOLE = (".parquet", ".arrow")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
KNOWN = (
    f"{', '.join(FORMATS)}, and all but {' and '.join(_WHOLE)} also as "
    f"{', '.join(COMPRESSIONS[:-1])} or {COMPRESSIONS[-1]}"
)
_HUB_ID = re.compile(
    r"(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(?:@(?P<revision>[\w./-]+))?"
    r"(?::(?P<config>[\w.-]+)(?=:))?(?::(?P<split>[\w.-]+))?",
    re.ASCII,
)
_HUB_FORMS = "these are written org/name, org/name:split or org/name:config:split, with @revision after the name."
_OLD_ID = re.compile(r"[\w][\w-]*(?::[\w.-]+)*", re.ASCII)


@dataclass(frozen=True)
class PromptFile:
    """One file of prompts.

    Attributes:
        name: how messages call it.
        compression: the ending that says so; what the file is compressed with, its first bytes say (`lines.opened`).
        columns: what the folders called `name=value` that it lies in say of all its rows.
    """

    path: Path
    name: str
    format: str
    compression: str | None
    columns: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True)
class FileSource:
    """The files that a path, a folder or a glob stands for, in the order they are read.

    Attributes:
        passed_over: files that a glob matches and whose names begin with `_`, as Spark's and pandas' own do. They are
            not read, and are in the digest as they always were.
    """

    typed: str
    files: tuple[PromptFile, ...]
    passed_over: tuple[PromptFile, ...] = ()

    @property
    def folder(self) -> str:
        """The folder that all files lie in."""
        return os.path.commonpath([file.path.parent for file in self.files])

    def label(self, file: PromptFile) -> str:
        """The file's name within the folder, without what this machine calls the folders above."""
        return os.path.relpath(file.path, self.folder)

    def stamp(self) -> tuple[tuple[int, int], ...]:
        """Sizes and times of the files, to notice that one changes while it is read."""
        stats = [file.path.stat() for file in self.files]
        return tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)


@dataclass(frozen=True)
class HubSource:
    """A dataset on the Hub.

    Attributes:
        split: None means `train`, or the only one there is. Written without a config it may be one.
        config: None means the only one, or `default`.
        revision: branch, tag or commit; None means `main`.
    """

    typed: str
    repo: str
    split: str | None
    config: str | None = None
    revision: str | None = None


def locate(source: str) -> FileSource | HubSource:
    """The files or the Hub dataset that `--prompts` names.

    Raises:
        NotFound: no such file, no match of the glob.
        ConfigurationError: standard input, a folder of several kinds of files, or a kind of file that is not read.
    """
    if source in ("-", "/dev/stdin"):
        raise ConfigurationError(
            "--prompts - reads standard input, which a run that starts again cannot read twice. "
            "Save it to a file first: `... > prompts.txt`, then --prompts prompts.txt."
        )
    path = _expanded(source)
    if _is_there(path) and path.is_dir():
        return FileSource(source, files_in(source, path))
    if _is_there(path):
        return FileSource(source, (prompt_file(path),))
    if any(mark in source for mark in "*?["):
        return _matches(source)
    return _on_the_hub(source, path)


def source_digest(source: str) -> str:
    """SHA-256 of what `--prompts` stands for: the content of the files, or the Hub dataset as typed.

    For a glob the names of the files, relative to their common folder, are part of it.
    """
    found = locate(source)
    if isinstance(found, HubSource):
        return hashlib.sha256(f"hub\0{source}".encode()).hexdigest()
    files = (
        sorted((*found.files, *found.passed_over), key=lambda file: str(file.path))
        if found.passed_over
        else found.files
    )
    folder = os.path.commonpath([file.path.parent for file in files])
    single = len(files) == 1 and files[0].path == _expanded(source)
    digest = hashlib.sha256()
    for file in files:
        name = f"{file.format}{file.compression or ''}" if single else os.path.relpath(file.path, folder)
        with storage_errors(file.path):
            digest.update(f"{name}\0{sha256_of(file.path)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def absolute_source(source: str) -> str:
    """The source so that it means the same from any folder: paths and globs made absolute.

    Raises:
        NotFound, ConfigurationError: see `locate`.
    """
    return source if isinstance(locate(source), HubSource) else absolute_path(source)


def absolute_path(source: str) -> str:
    """The path or glob made absolute, whether there is something or not."""
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


def _matches(pattern: str) -> FileSource:
    found = sorted(glob.glob(str(_expanded(pattern)), recursive=True))  # noqa: PTH207, as it may be absolute
    paths = [path for path in map(Path, found) if not path.is_dir()]
    if not paths:
        raise NotFound(
            f"No file matches --prompts {pattern}. Look with `ls {pattern}`, and quote the pattern in the shell."
        )
    over = _passed_over(paths, _expanded(pattern))
    files = tuple(prompt_file(path) for path in paths if path not in over)
    return FileSource(pattern, files, tuple(prompt_file(path) for path in sorted(over) if _format_of(path)[0]))


def _passed_over(paths: list[Path], pattern: Path) -> set[Path]:
    """The paths with a name that begins with `_` where the pattern has a wildcard; none if all are so."""
    wild = next(index for index, part in enumerate(pattern.parts) if any(mark in part for mark in "*?["))
    if any(part.startswith("_") for part in pattern.parts[wild:]):
        return set()
    over = {path for path in paths if any(part.startswith("_") for part in path.parts[wild:])}
    return over if len(over) < len(paths) else set()


def prompt_file(path: Path) -> PromptFile:
    """The file at a path.

    Raises:
        ConfigurationError: it is a pipe or a device, or of a kind that is not read.
    """
    if not path.is_file():
        raise ConfigurationError(
            f"--prompts {path} is not a regular file and cannot be read twice; save it to a file first."
        )
    kind, compression = _format_of(path)
    if kind is None:
        raise ConfigurationError(f"The format of {path} is not known from its ending. Give it one of: {KNOWN}.")
    return PromptFile(path, str(path), kind, compression, _columns_of(path))


def _format_of(path: Path) -> tuple[str | None, str | None]:
    """The format and the compression that the ending of a name stands for; no format if it is not known."""
    suffix, compression = path.suffix.lower(), None
    if suffix in COMPRESSIONS:
        suffix, compression = path.with_suffix("").suffix.lower(), suffix
    return (None if suffix in _WHOLE and compression else FORMATS.get(suffix)), compression


def _columns_of(path: Path) -> tuple[tuple[str, str | None], ...]:
    """What the folders right above a file say, as Spark, pandas and Arrow write them: `lang=de/part-0.parquet`."""
    folders = itertools.takewhile(lambda folder: folder.name.partition("=")[0] and "=" in folder.name, path.parents)
    pairs = [folder.name.split("=", 1) for folder in folders]
    return tuple((unquote(name), None if value == _NO_VALUE else unquote(value)) for name, value in reversed(pairs))


def files_in(source: str, folder: Path) -> tuple[PromptFile, ...]:
    """The files of a folder of one format, or of a dataset that `save_to_disk` wrote.

    Raises:
        NotFound: there are none.
        ConfigurationError: of several formats, or of several splits.
    """
    saved = _saved_dataset(source, folder)
    if saved:
        return saved
    paths = [path for path in sorted(folder.rglob("*")) if _is_data(path, folder)]
    by_format: dict[str, list[Path]] = {}
    for path in paths:
        by_format.setdefault(str(_format_of(path)[0]), []).append(path)
    if len(by_format) == 1:
        return tuple(map(prompt_file, paths))
    if not paths:
        raise NotFound(f"--prompts {source} is a folder without a file that is read. These are: {KNOWN}.")
    globs = [f"--prompts {shlex.quote(_glob_of(folder, same))}" for same in by_format.values()]
    raise ConfigurationError(
        f"--prompts {source} is a folder with files of several formats, {', '.join(by_format)}. Name those that you "
        f"mean: {' or '.join(globs)}"
    )


def _saved_dataset(source: str, folder: Path) -> tuple[PromptFile, ...]:
    """The files of a dataset that `save_to_disk` wrote; none if the folder is something else."""
    splits = _json_in(folder / "dataset_dict.json").get("splits")
    if isinstance(splits, list) and splits:
        split = splits[0] if len(splits) == 1 else "train"
        if split not in splits:
            each = " or ".join(f"--prompts {shlex.quote(str(folder / name))}" for name in splits)
            raise ConfigurationError(f"--prompts {source} has the splits {', '.join(splits)}. Name one: {each}")
        folder = folder / split
    parts = _json_in(folder / "state.json").get("_data_files")
    names = [part.get("filename") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return tuple(prompt_file(folder / Path(name).name) for name in names if isinstance(name, str))


def _json_in(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_data(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(("_", ".")) for part in path.relative_to(folder).parts)
    return not hidden and _format_of(path)[0] is not None and path.is_file()


def _glob_of(folder: Path, paths: list[Path]) -> str:
    """A glob that matches files of one format, compressed or not, at any depth they are at."""
    deep = "" if all(path.parent == folder for path in paths) else "**/"
    endings = {"".join(path.suffixes[-2:]) if _format_of(path)[1] else path.suffix for path in paths}
    ending = endings.pop() if len(endings) == 1 else f"{paths[0].suffixes[0]}*"
    return f"{glob.escape(str(folder))}/{deep}*{ending}"


def _on_the_hub(source: str, path: Path) -> HubSource:
    looks_like_a_path = source.startswith((".", "/", "~")) or path.suffix.lower() in {*FORMATS, *COMPRESSIONS}
    match = None if looks_like_a_path else _HUB_ID.fullmatch(source)
    if match:
        return HubSource(source, match["repo"], match["split"], match["config"], match["revision"])
    if os.path.islink(path):  # noqa: PTH114, as it answers for names that are too long as well
        raise NotFound(
            f"--prompts {source} is a link that leads nowhere, or in a circle ({path.readlink()}). "
            "Name the file itself."
        )
    hub = "" if looks_like_a_path else f" Nor is it a Hub dataset: {_HUB_FORMS}"
    if not looks_like_a_path and _OLD_ID.fullmatch(source):
        name = source.partition(":")[0]
        hub += f" If you mean the Hub's old {name}, it has an owner now: https://huggingface.co/datasets?search={name}"
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
