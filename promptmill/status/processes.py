"""The processes that generate: what each told last, and whether it lives."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from promptmill.files import read_json
from promptmill.progress import writer_is_gone
from promptmill.run import RunFolder
from promptmill.slurm.commands import Job
from promptmill.slurm.record import Start, TaskRecord
from promptmill.status.values import ProcessRate

# A process tells of itself when a row finishes, which may take minutes with a large model.
SILENT_SECONDS = 900.0


@dataclass(frozen=True)
class Told:
    """A progress file.

    Attributes:
        updated: by the clock of its machine, which may have been set since it began.
        seconds: that passed between the two.
    """

    writer: str
    host: str
    pid: int
    doing: str
    began: float
    updated: float
    rows: int
    tokens: int
    tokens_per_second: float
    seconds: float
    prompt_tokens: int = 0

    @property
    def shard(self) -> int | None:
        """The shard that it is about, from 0."""
        match = re.match(r"shard (\d+) of ", self.doing)
        return int(match[1]) - 1 if match else None

    @property
    def rows_per_second(self) -> float:
        """Since it began the shard."""
        return self.rows / max(self.seconds, 1.0)


def progress_files(run: RunFolder) -> list[Told]:
    """What every process of the run told last, those of long ago included."""
    found = []
    for path in sorted(run.progress.glob("*.json")):
        value = read_json(path)
        if isinstance(value, dict):
            found.append(_told(path.stem, value))
    return found


def living(told: list[Told], records: list[TaskRecord], jobs: list[Job] | None) -> list[ProcessRate]:
    """Those that generate at this moment.

    An array task lives if Slurm says that its job runs; any other process if it is of this machine
    and there, or of another one and was heard of lately.
    """
    owners = {record.starts[-1].writer: (record.job, record.starts[-1]) for record in records if record.starts}
    running = None if jobs is None else {job.id for job in jobs if job.runs}
    return [_rate(one, owners.get(one.writer)) for one in told if _lives(one, owners.get(one.writer), running)]


def _lives(told: Told, owner: tuple[str, Start] | None, running: set[str] | None) -> bool:
    if owner is not None:
        job, start = owner
        if start.reason != "running" or told.began < int(start.began):
            return False
        if running is not None:
            return job in running
    return not writer_is_gone(f"{told.host}-{told.pid}") and time.time() - told.updated < SILENT_SECONDS


def _rate(told: Told, owner: tuple[str, Start] | None) -> ProcessRate:
    return ProcessRate(
        node=owner[1].node if owner else told.host,
        devices=owner[1].devices if owner else None,
        job=owner[0] if owner else None,
        doing=told.doing,
        rows=told.rows,
        tokens=told.tokens,
        rows_per_second=round(told.rows_per_second, 3),
        tokens_per_second=told.tokens_per_second,
        quiet_seconds=round(max(0.0, time.time() - told.updated), 1),
    )


def _told(writer: str, value: dict[str, Any]) -> Told:
    names = ("host", "pid", "doing", "began", "updated", "rows", "tokens", "tokens_per_second")
    told = {name: value[name] for name in names}
    seconds = value.get("seconds", value["updated"] - value["began"])
    return Told(writer, **told, seconds=seconds, prompt_tokens=value.get("prompt_tokens", 0))
