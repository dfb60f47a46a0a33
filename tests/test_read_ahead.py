"""Weights are read into the page cache before they are asked for."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from promptmill.mounts import mount_of
from promptmill.read_ahead import libraries_of, read_ahead, weights_in

PAGE = mmap.PAGESIZE


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder with 8 MB of weights that are on disk alone; a file system in memory can't have that."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(os.urandom(8 * 2**20))
    (tmp_path / "README.md").write_text("no weights")
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return tmp_path


def cached_share(file: Path) -> float:
    """The part of a file's pages that are in the page cache, which looking does not change."""
    with file.open("rb+") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        here = ctypes.c_char.from_buffer(mapped)
        pages = (ctypes.c_ubyte * (len(mapped) // PAGE))()
        failed = ctypes.CDLL(None).mincore(ctypes.byref(here), ctypes.c_size_t(len(mapped)), pages)
        del here  # the map cannot be closed while it is referred to
    assert not failed
    return sum(page & 1 for page in pages) / len(pages)


def test_weights_are_read(weights: Path) -> None:
    """They were on disk alone, and are in memory soon after, though nobody has read them."""
    file = weights / "model.safetensors"
    before = cached_share(file)
    thread = read_ahead(weights_in(weights))
    assert thread is not None
    thread.join()
    patience = time.monotonic() + 20
    while cached_share(file) < 1 and time.monotonic() < patience:
        time.sleep(0.05)
    assert cached_share(file) == 1
    mount = mount_of(weights)
    assert before < 1 or (mount is not None and mount.is_in_memory)


def test_not_what_memory_has_no_room_for(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of more than half of what is free would drive each other out, and what others have there."""
    memory = namedtuple("memory", "available")(12 * 2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert read_ahead(weights_in(weights)) is None


def test_a_folder_without_weights(tmp_path: Path) -> None:
    """Nothing to read is nothing to say: whoever needs the weights does."""
    assert read_ahead(weights_in(tmp_path)) is None


def test_a_link_that_leads_nowhere(weights: Path) -> None:
    """Of a Hub cache whose blobs were deleted: loading says so, in its own words."""
    (weights / "model-2.safetensors").symlink_to(weights / "gone")
    assert read_ahead(weights_in(weights)) is None


def test_the_libraries_of_a_package() -> None:
    """They are found where the package is installed, and one that is missing has none."""
    files = libraries_of("torch", "lib/libtorch_cpu.*", "lib/libtorch_python.*")
    assert {file.name for file in files} == {"libtorch_cpu.so", "libtorch_python.so"}
    assert libraries_of("no_such_package", "*") == []


def test_torch_is_read_ahead_where_it_will_be_imported() -> None:
    """Its largest library is asked for before the function that imports it begins; once it is there, no more."""
    code = """
import sys
import promptmill.importing as importing
asked = []
importing.read_ahead = asked.append
with importing.heavy_imports():
    assert [file.name for file in asked[0]] == ["libtorch_cpu.so", "libtorch_python.so"], asked
    assert "torch" not in sys.modules
    import torch
with importing.heavy_imports():
    assert len(asked) == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True)
