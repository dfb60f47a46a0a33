"""How the run went over time: from the histories of its processes and, where there are any, Slurm's records."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

from promptmill.history import Point, read_history
from promptmill.progress import writer_is_gone
from promptmill.report.values import Interruption, Node, RateBin, Speed
from promptmill.run import RunFolder
from promptmill.slurm.layout import SlurmFolder
from promptmill.slurm.record import Start, read_records

MOST_BINS = 120
_WIDTHS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600)
# Processes that one signal or one time limit ended are told as one.
_TOGETHER_SECONDS = 90.0
# A process tells of itself when a row finishes, which may take minutes.
_SILENT_SECONDS = 900.0
_ENDS = {"done": "done", "stopped": "told to stop", "failed": "failed", "stalled": "stalled"}
_TOLD = ("walltime", "told to stop", "preempted", "killed")


@dataclass(frozen=True)
class Life:
    """One process, from the first shard it began to its last sign of life.

    Attributes:
        why: how it ended: `done`, `running`, or why it ended before.
    """

    node: str
    devices: str | None
    points: tuple[Point, ...]
    why: str

    @property
    def began(self) -> float:
        """Seconds since 1970."""
        return self.points[0].at

    @property
    def ended(self) -> float:
        """The last sign of life, in seconds since 1970."""
        return self.points[-1].at


@dataclass(frozen=True)
class _Recorded:
    """What Slurm's side knows of a process."""

    began: float
    node: str
    devices: str | None
    reason: str


def read_speed(run: RunFolder) -> Speed:
    """What the histories tell; empty if nothing was recorded."""
    lives = sorted(_lives(run), key=lambda life: life.began)
    if not lives:
        return Speed((), (), (), (), None, None, None, 0.0, 0.0)
    pieces = [piece for life in lives for piece in _pieces(life)]
    busy = _covered((piece[0], piece[1]) for piece in pieces)
    tokens = sum(piece[2] for piece in pieces)
    interruptions = _interruptions(lives)
    return Speed(
        bins=tuple(_bins(pieces, lives[0].began, max(life.ended for life in lives))),
        nodes=_nodes(lives),
        interruptions=interruptions,
        resumed=_resumed(lives, interruptions),
        generated=sum(_made(life)[0] for life in lives),
        began=lives[0].began,
        ended=max(life.ended for life in lives),
        busy=busy,
        tokens_per_second=tokens / busy if busy else 0.0,
    )


def _lives(run: RunFolder) -> Iterator[Life]:
    starts: dict[str, list[_Recorded]] = defaultdict(list)
    for record in read_records(SlurmFolder.of(run)):
        for start in record.starts:
            starts[start.writer].append(_named(start, returned=start is not record.starts[-1]))
    for file in sorted(run.progress.glob("*.jsonl")):
        history = read_history(file)
        for process, points in groupby(history, key=lambda point: point.process):
            # The file tells when its last process was heard of: points leave out what was done to the clock.
            heard = file.stat().st_mtime if process == history[-1].process else 0.0
            yield _life(file.stem, tuple(points), heard, _start_of(process, starts[file.stem]))


def _named(start: Start, *, returned: bool) -> _Recorded:
    """Told to stop and started again by Slurm is what a preemption looks like; a cancelled job does not return."""
    preempted = returned and start.reason == "told to stop"
    return _Recorded(start.began, start.node, start.devices, "preempted" if preempted else start.reason)


def _start_of(process: float, starts: list[_Recorded]) -> _Recorded | None:
    """What Slurm's side knows of a process: the latest start under its name that is not after it."""
    earlier = [start for start in starts if start.began <= process + 1]
    return max(earlier, key=lambda start: start.began, default=None)


def _life(writer: str, points: tuple[Point, ...], heard: float, start: _Recorded | None) -> Life:
    last = points[-1]
    if last.end is not None:
        why = _ENDS[last.end]
    elif writer_is_gone(writer) or time.time() - max(last.at, heard) > _SILENT_SECONDS:
        why = "killed"
    else:
        why = "running"
    if start is None:
        return Life(last.host, None, points, why)
    # Near its walltime or told by Slurm, a process ends as if told to stop; only the record says by what.
    return Life(start.node, start.devices, points, start.reason if start.reason in _TOLD else why)


def _pieces(life: Life) -> Iterator[tuple[float, float, int]]:
    """From when to when how many tokens were made, between any two lines about the same shard."""
    for before, after in pairwise(life.points):
        if before.shard == after.shard and before.end is None:
            yield before.at, after.at, after.tokens - before.tokens


def _made(life: Life) -> tuple[int, int]:
    """Rows and tokens of a life: the last line about each shard has its sums."""
    rows = tokens = 0
    for point, after in pairwise((*life.points, None)):
        if point is not None and (after is None or after.shard != point.shard or point.end is not None):
            rows, tokens = rows + point.rows, tokens + point.tokens
    return rows, tokens


def _bins(pieces: list[tuple[float, float, int]], began: float, ended: float) -> Iterator[RateBin]:
    """Tokens of each piece are spread evenly over it: rows finish in bursts, tokens are made steadily."""
    width = next((width for width in _WIDTHS if (ended - began) / width <= MOST_BINS), (ended - began) / MOST_BINS)
    count = max(1, -int(-(ended - began) // width))
    sums = [0.0] * count
    for start, stop, tokens in pieces:
        first, last = (min(count - 1, int((moment - began) / width)) for moment in (start, stop))
        for index in range(first, last + 1):
            low, high = max(start, began + index * width), min(stop, began + (index + 1) * width)
            sums[index] += tokens * (high - low) / (stop - start) if stop > start else tokens / (last - first + 1)
    for index, tokens_in in enumerate(sums):
        low, high = began + index * width, min(ended, began + (index + 1) * width)
        yield RateBin(low, high, tokens_in / max(high - low, 1e-9))


def _nodes(lives: list[Life]) -> tuple[Node, ...]:
    by_node: dict[str, list[Life]] = defaultdict(list)
    for life in lives:
        by_node[life.node].append(life)
    return tuple(sorted((_node(name, of_node) for name, of_node in by_node.items()), key=lambda node: -node.tokens))


def _node(name: str, lives: list[Life]) -> Node:
    made = [_made(life) for life in lives]
    seconds = sum(stop - start for life in lives for start, stop, _ in _pieces(life))
    devices = sorted({life.devices for life in lives if life.devices})
    return Node(name, ", ".join(devices) or None, len(lives), sum(m[0] for m in made), sum(m[1] for m in made), seconds)


def _interruptions(lives: list[Life]) -> tuple[Interruption, ...]:
    ended = sorted((life.ended, life.why) for life in lives if life.why not in ("done", "running"))
    found: list[Interruption] = []
    for at, why in ended:
        if found and found[-1].why == why and at - found[-1].at < _TOGETHER_SECONDS:
            found[-1] = Interruption(found[-1].at, why, found[-1].processes + 1)
        else:
            found.append(Interruption(at, why, 1))
    return tuple(found)


def _resumed(lives: list[Life], interruptions: Iterable[Interruption]) -> tuple[float, ...]:
    """When the first process after each interruption began."""
    begins = sorted(life.began for life in lives)
    after = (next((began for began in begins if began > one.at), None) for one in interruptions)
    return tuple(sorted({moment for moment in after if moment is not None}))


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds that at least one of the spans covers."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
