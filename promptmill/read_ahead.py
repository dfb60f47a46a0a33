"""Has the kernel read large files while the process still does what comes before they are needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import psutil

WEIGHTS = ("*.safetensors", "*.gguf")


def weights_in(folder: Path) -> list[Path]:
    """The files of a model's weights."""
    return [file for pattern in WEIGHTS for file in folder.glob(pattern)]


def libraries_of(package: str, *patterns: str) -> list[Path]:
    """The files of an installed package that match, found without importing it; none where it is not installed."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return []
    return [file for pattern in patterns for file in Path(spec.origin).parent.glob(pattern)]


def read_ahead(files: Sequence[Path]) -> Thread | None:
    """Begin to read files into the page cache, if that has room for them; does not wait.

    They are mapped into memory later, where a page that is missing is waited for, few at a time.

    Returns:
        The thread that asks for it; None where there are none, or not all of them, or they would drive each other out.
    """
    try:
        size = sum(file.stat().st_size for file in files)
    except OSError:
        return None  # whoever needs it will say so
    if not files or size > psutil.virtual_memory().available // 2:
        return None
    thread = Thread(target=_ask_for, args=(files,), name="read ahead", daemon=True)
    thread.start()
    return thread


def _ask_for(files: Sequence[Path]) -> None:
    for file in files:
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except OSError:
            return
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)
