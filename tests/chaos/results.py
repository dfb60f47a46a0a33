"""What a harness found out: one line of the table in docs/reliability.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """Faults tried, and what became of the rows."""

    name: str
    faults: int
    restarts: int
    rows: int
    lost: int
    doubled: int
    again: int
    note: str = ""
