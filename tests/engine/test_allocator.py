"""Memory that is used again and again is not fetched anew each time."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
import torch
from promptmill.engine.allocator import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
def use():
    for _ in range(30):
        torch.ones(10_000_000)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_large_blocks_are_reused() -> None:
    """Thirty times 40 MB: as many pages as that each time, or next to none."""
    faults = {
        name: int(
            subprocess.run([sys.executable, "-c", _FAULTS, name], capture_output=True, text=True, check=True).stdout
        )
        for name in ("plain", "kept")
    }
    assert faults["kept"] < faults["plain"] / 10
