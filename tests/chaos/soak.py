"""An hour of generation with a kill every 20 to 60 seconds: does anything grow that should not?"""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.kills import Seen, rows_told, start_group
from tests.chaos.results import Result
from tests.command import committed


@dataclass(frozen=True)
class Life:
    """One process from its start to its kill.

    Attributes:
        at: seconds since the soak began, at its end.
        memory: the most bytes that it had resident.
        files: the most files that it had open.
        rows: it committed.
        again: rows that it had finished and had not committed when it was killed.
    """

    at: float
    memory: int
    files: int
    rows: int
    again: int


def soak(
    folder: Path, options: list[object], seconds: float, between: tuple[float, float] = (20, 60)
) -> tuple[list[Life], Seen]:
    """Start, kill, start again, for so long; each life of the run, and the rows.

    Args:
        between: the shortest and the longest life in seconds.
    """
    chance, seen, lives = random.Random(5), Seen(), []
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        process = start_group(*options, cwd=folder)
        memory, files = _watched(process, chance.uniform(*between))
        assert process.returncode is None, f"the run ended by itself, see {folder / 'said.log'}"
        told = rows_told(folder / "data", process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        before = len(seen.rows)
        seen.look(folder / "data")
        rows = len(seen.rows) - before
        lives.append(Life(time.monotonic() - begun, memory, files, rows, max(0, told - rows)))
    return lives, seen


def result(lives: list[Life], seen: Seen, data: Path) -> Result:
    """As a line of the table."""
    found = [(shard, at) for run in data.glob("runs/*") for shard, at, _ in committed(run)]
    return Result(
        "soak",
        len(lives),
        len(lives),
        len(seen.rows),
        len(seen.lost),
        len(found) - len(set(found)),
        sum(life.again for life in lives),
        f"{lives[-1].at / 60:.0f} minutes; memory of the last lives against the first {growth(lives):+.1%}",
    )


def growth(lives: list[Life]) -> float:
    """How much more memory the last sixth of the lives takes than the first, as a share."""
    sixth = max(1, len(lives) // 6)
    first, last = (statistics.median(life.memory for life in part) for part in (lives[:sixth], lives[-sixth:]))
    return last / first - 1


def table(lives: list[Life], parts: int = 6) -> str:
    """Markdown: what the lives of each part of the time took and made."""
    lines = [
        "| until minute | lives | peak memory, MB | open files | rows committed | rows made again |",
        "|---" * 6 + "|",
    ]
    end = lives[-1].at
    for part in range(parts):
        some = [life for life in lives if part * end / parts < life.at <= (part + 1) * end / parts]
        if some:
            lines.append(
                f"| {some[-1].at / 60:.0f} | {len(some)} | {statistics.median(life.memory for life in some) / 1e6:.0f} "
                f"| {max(life.files for life in some)} | {sum(life.rows for life in some)} "
                f"| {sum(life.again for life in some)} |"
            )
    return "\n".join(lines)


def _watched(process: subprocess.Popen[bytes], seconds: float) -> tuple[int, int]:
    """The most memory and open files of a process over so many seconds."""
    memory = files = 0
    watched, end = psutil.Process(process.pid), time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        memory = max(memory, watched.memory_info().rss)
        files = max(files, watched.num_fds())
        time.sleep(0.5)
    return memory, files
