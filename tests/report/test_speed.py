"""How a run went over time, from the histories of its processes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from promptmill.files import write_json
from promptmill.history import Point, ShardHistory, read_history
from promptmill.report.speed import MOST_BINS, read_speed
from promptmill.report.values import Interruption
from promptmill.rows import Row
from promptmill.run import RunFolder
from promptmill.slurm.layout import SlurmFolder
from promptmill.slurm.record import Start, TaskRecord
from tests.report.runs import BEGAN, answered, life, run_of, tell


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run whose rows do not matter."""
    return run_of(tmp_path, answered("a"))


class Clock:
    """Time that passes when told to."""

    now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_a_history_has_begin_way_and_end(tmp_path: Path) -> None:
    """Every few seconds while rows finish, and what came of it."""
    clock, row = Clock(), Row(0, "r", "stop", 1, 7, 0, None)
    with ShardHistory(tmp_path / "h.jsonl", 3, 20, clock) as history:
        for _ in range(20):
            clock.now += 1
            history.add(row)
    points = read_history(tmp_path / "h.jsonl")
    assert [(point.at, point.rows) for point in points] == [
        (1000, 0), (1005, 5), (1010, 10), (1015, 15), (1020, 20), (1020, 20),
    ]  # fmt: skip
    assert (points[-1].end, points[-1].tokens, points[-1].shard, points[-2].end) == ("done", 140, 3, None)


def test_a_history_tells_how_it_ended(tmp_path: Path) -> None:
    """Told to stop, or an error; a torn last line is left out."""
    file = tmp_path / "h.jsonl"
    with ShardHistory(file, 0, 5):
        pass
    with pytest.raises(RuntimeError), ShardHistory(file, 0, 5):
        raise RuntimeError
    file.write_bytes(file.read_bytes() + b'{"host": "a", "pro')
    assert [point.end for point in read_history(file)] == [None, "stopped", None, "failed"]


def test_without_a_history_nothing_is_claimed(run: RunFolder) -> None:
    """Empty, and no numbers of zero."""
    told = read_speed(run)
    assert (told.began, told.bins, told.generated) == (None, (), None)


def test_the_rate_is_that_of_all_processes_together(run: RunFolder) -> None:
    """Tokens are spread over the time in which they were made; bins hold them all."""
    tell(run, "a-1", life("a", 0, 1000, rate=30, end="done"))
    tell(run, "b-1", life("b", 0, 500, rate=10, end="done"))
    told = read_speed(run)
    assert len(told.bins) <= MOST_BINS
    assert sum(one.tokens_per_second * (one.stop - one.start) for one in told.bins) == pytest.approx(35_000)
    assert told.bins[5].tokens_per_second == pytest.approx(40)
    assert told.bins[-5].tokens_per_second == pytest.approx(30)
    assert (told.busy, told.tokens_per_second, told.generated) == (1000, 35, 3500)
    assert [(node.name, node.rows, node.tokens_per_second) for node in told.nodes] == [("a", 3000, 30), ("b", 500, 10)]
    assert told.interruptions == ()


def test_interruptions_and_what_followed_are_marked(run: RunFolder) -> None:
    """Two processes that one signal ended are one mark; one that ended without a word was killed."""
    tell(run, "gone-1", [*life("a", 0, 1000, rate=10, end="stopped"), *life("a", 2000, 500, rate=10, end=None)])
    tell(run, "gone-2", life("a", 0, 1010, rate=10, end="stopped"))
    tell(run, "gone-3", life("a", 3000, 500, rate=10, end="done"))
    told = read_speed(run)
    assert told.interruptions == (
        Interruption(BEGAN + 1000, "told to stop", 2),
        Interruption(BEGAN + 2500, "killed", 1),
    )
    assert told.resumed == (BEGAN + 2000, BEGAN + 3000)
    assert told.busy == 2000


def test_slurm_says_what_a_process_cannot_know(run: RunFolder) -> None:
    """Its node, its GPUs, and whether it was a preemption or the walltime that ended it."""
    ends = (("told to stop", 0), ("walltime", 2000), ("done", 4000))
    starts = tuple(
        Start(0, "gpu7", "host", "0,1", "host-1", BEGAN + at, BEGAN + at + 1000, reason)  # type: ignore[arg-type]
        for reason, at in ends
    )
    write_json(SlurmFolder.of(run).task("5_1"), asdict(TaskRecord("5_1", starts)))
    points = [life("host", at, 1000, rate=10, end="done" if reason == "done" else "stopped") for reason, at in ends]
    tell(run, "host-1", [point for points_of in points for point in points_of])
    told = read_speed(run)
    assert [one.why for one in told.interruptions] == ["preempted", "walltime"]
    assert [(node.name, node.devices, node.starts) for node in told.nodes] == [("gpu7", "0,1", 3)]


def test_a_run_of_days_has_few_bins(run: RunFolder) -> None:
    """And one of a moment has a single one."""
    tell(run, "a-1", [Point("a", BEGAN, BEGAN + 3600 * at, 0, at, 3600 * at) for at in range(24 * 40)])
    assert 20 < len(read_speed(run).bins) <= MOST_BINS
    tell(run, "a-1", [Point("a", BEGAN, BEGAN, 0, 0, 0), Point("a", BEGAN, BEGAN, 0, 5, 50, "done")])
    assert len(read_speed(run).bins) == 1
