"""The program with a forward pass that hangs in C: `python -m tests.workflows.hanging PASS MARK ...`.

The first process that comes to the pass of that number, and finds no file MARK, writes it and hangs.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

from luigi.cmdline import luigi_run

from promptmill.engine.model import Forward


def hang_at(number: int, mark: Path) -> None:
    """Have pass `number` of a process hang."""
    whole, passes = Forward.__call__, 0

    def call(self: Forward, *args: Any, **options: Any) -> Any:
        nonlocal passes
        passes += 1
        if passes == number and not mark.exists():
            mark.touch()
            while True:  # a signal's handler may end a single call
                ctypes.CDLL(None).sleep(3600)
        return whole(self, *args, **options)

    Forward.__call__ = call  # type: ignore[method-assign]


if __name__ == "__main__":
    hang_at(int(sys.argv[1]), Path(sys.argv[2]))
    luigi_run(sys.argv[3:])
