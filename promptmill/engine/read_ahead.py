"""Has the kernel read a model's weights while the process still imports what they are for."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import psutil

WEIGHTS = ("*.safetensors", "*.gguf")


def read_ahead(folder: Path) -> Thread | None:
    """Begin to read the weights in a folder into the page cache, if that has room for them; does not wait.

    They are mapped into memory later, where a page that is missing is waited for, few at a time.

    Returns:
        The thread that asks for it; None where they would drive each other out, or are not all there.
    """
    files = [file for pattern in WEIGHTS for file in folder.glob(pattern)]
    try:
        size = sum(file.stat().st_size for file in files)
    except OSError:
        return None  # whoever needs it will say so
    if size > psutil.virtual_memory().available // 2:
        return None
    thread = Thread(target=_ask_for, args=(files,), name="read ahead", daemon=True)
    thread.start()
    return thread


def _ask_for(files: list[Path]) -> None:
    for file in files:
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except OSError:
            return
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)
