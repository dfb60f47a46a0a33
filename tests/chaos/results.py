"""What a harness found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One line of the table in `docs/reliability.md`.

    Attributes:
        faults: how many were tried.
        restarts: of the program, after them.
        rows: of the dataset, or of all datasets together.
        lost, doubled: rows that a fault cost or made twice; 0 is the aim.
        again: rows that were generated again because they had not been committed yet.
    """

    name: str
    faults: int
    restarts: int
    rows: int
    lost: int
    doubled: int
    again: int
    note: str = ""
