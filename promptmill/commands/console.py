"""Where commands print."""

from __future__ import annotations

import sys

from rich.console import Console

PIPE_COLUMNS = 80


def output() -> Console:
    """Standard output. A pipe has no width of its own: 80 columns, as most terminals."""
    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, highlight=False)
