"""What lies in safetensors files, read from their headers alone: kilobytes of gigabytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptmill.errors import EngineError

INDEX = "model.safetensors.index.json"
_LONGEST_HEADER = 100_000_000  # the format's own limit


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint.

    Attributes:
        dtype: as the format names it: F32, F16, BF16, I32, U8, ...
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers would load from a folder; empty if there are none.

    Raises:
        EngineError: the index names a file that is not there.
    """
    index = folder / INDEX
    if not index.is_file():
        single = folder / "model.safetensors"
        return [single] if single.is_file() else []
    files = [folder / name for name in sorted(set(_json(index)["weight_map"].values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise EngineError(
            f"{folder} lacks {', '.join(missing)}, which {INDEX} names. "
            "Start BuildDataset again to fetch what is missing, or copy the whole model."
        )
    return files


def stored_tensors(folder: Path) -> Iterator[StoredTensor]:
    """All tensors of a checkpoint.

    Raises:
        EngineError: a file is cut or is no safetensors file.
    """
    for file in weight_files(folder):
        yield from tensors_in(file)


def tensors_in(file: Path) -> Iterator[StoredTensor]:
    """All tensors of one safetensors file.

    Raises:
        EngineError: it is cut or is no safetensors file.
    """
    for name, entry in _header(file).items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            yield StoredTensor(name, entry["dtype"], tuple(entry["shape"]), stop - start)


def _header(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        first = stream.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 2 <= length <= _LONGEST_HEADER:
            raise EngineError(f"{file} is no safetensors file, or is cut. Delete it, and start BuildDataset again.")
        text = stream.read(length)
    try:
        header: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise EngineError(f"The header of {file} is damaged. Delete it, and start BuildDataset again.") from error
    end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    if file.stat().st_size < 8 + length + end:
        raise EngineError(f"{file} is shorter than its header says. Delete it, and start BuildDataset again.")
    return header


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise EngineError(f"{path} is damaged. Delete it, and start BuildDataset again.") from error
