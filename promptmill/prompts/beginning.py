"""What the first rows of prepared prompts are, to tell prompts that were added to from others."""

from __future__ import annotations

import hashlib
from pathlib import Path

from promptmill.prompts.prepared import prepared_table
from promptmill.prompts.table import row_lines

_STEP = 8192


def digest_of_first(table: Path, rows: int) -> str:
    """`PreparedPrompts.sha256` as it would be if the table had its first `rows` alone."""
    digest = hashlib.sha256()
    for start in range(0, rows, _STEP):
        digest.update(row_lines(prepared_table(table, start, min(start + _STEP, rows))))
    return digest.hexdigest()
