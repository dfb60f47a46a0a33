"""The last things that went wrong, from the records of array tasks and the ends of their logs."""

from __future__ import annotations

import os
import re
from pathlib import Path

from promptmill.run import RunFolder
from promptmill.slurm.layout import SlurmFolder
from promptmill.slurm.record import TaskRecord
from promptmill.status.values import ErrorLine

MOST = 5
_LOGS = 20
_TAIL = 16_384
# Being stopped is logged as an error, as its exit code is not 0, but nothing went wrong.
_WRONG = re.compile(
    r" (?:ERROR|CRITICAL) (?!Stopped as told|The walltime is near)|^\w*Error: |^slurmstepd\S*: error: (?!.*CANCELLED)"
)


def last_errors(run: RunFolder, records: list[TaskRecord]) -> tuple[ErrorLine, ...]:
    """At most five, the latest first; each text once."""
    folder = SlurmFolder.of(run)
    told = [
        (start.ended or start.began, ErrorLine(start.error, _name(folder.logs / f"{record.job}.log")))
        for record in records
        for start in record.starts
        if start.error
    ]
    found: dict[str, ErrorLine] = {}
    for _, line in sorted([*told, *_in_logs(folder.logs)], key=lambda pair: pair[0], reverse=True):
        found.setdefault(_essence(line.text), line)
    return tuple(found.values())[:MOST]


def _in_logs(logs: Path) -> list[tuple[float, ErrorLine]]:
    if not logs.is_dir():
        return []
    with os.scandir(logs) as entries:
        newest = sorted(((entry.stat().st_mtime, entry.path) for entry in entries), reverse=True)[:_LOGS]
    found = []
    for changed, path in newest:
        lines = [line for line in _tail(Path(path)).splitlines() if _WRONG.search(line)]
        found += [(changed, ErrorLine(line.strip()[:500], _name(Path(path)))) for line in reversed(lines[-MOST:])]
    return found


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return file.read().decode("utf-8", "replace")


def _name(log: Path) -> str | None:
    return f"slurm/logs/{log.name}" if log.exists() else None


def _essence(text: str) -> str:
    """The text without its time and level, by which a log line is recognised as a record's error."""
    return re.sub(r"^\S+ (?:ERROR|CRITICAL) ", "", text.splitlines()[0])[:120]
