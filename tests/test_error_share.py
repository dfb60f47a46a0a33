"""A run of which too much ends in error is stopped, by what is on disk and by what this process makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from promptmill.engine.contract import Completion, MayBegin, Request, ShouldStop, always
from promptmill.error_share import ErrorShare, Tally, committed_tally
from promptmill.errors import EngineError
from promptmill.plan import recorded_manifest, shard_store, write_manifest
from promptmill.production import SoFar, produce_shard
from promptmill.prompts import PromptOptions, prepare_prompts
from promptmill.rows import Row
from promptmill.run import RunFolder
from promptmill.stopping import StopRequest
from tests.fakes import StubEngine, begun_run

ROWS = 512  # four shards of 128


class Failing(StubEngine):
    """Every second row but a few ends in error, each with a number of its own in the reason."""

    def generate(
        self, requests: Iterable[Request], should_stop: ShouldStop, may_begin: MayBegin = always
    ) -> Iterator[Completion]:
        """As the stub engine, spoiled."""
        for row, completion in enumerate(super().generate(requests, should_stop, may_begin)):
            bad = row % 5 < 3
            yield replace(completion, finish_reason="error", error=f"too long by {row}") if bad else completion


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run whose prompts are prepared."""
    source = tmp_path / "prompts.txt"
    source.write_text("".join(f"prompt {index}\n" for index in range(ROWS)))
    run = begun_run(tmp_path / "data", source)
    write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), 1)
    return run


def produce(run: RunFolder, shard: int, engine: StubEngine, most: float = 0.5) -> bool:
    """What a process that has just begun does."""
    return produce_shard(
        run,
        shard,
        batch_size=None,
        checkpoint_seconds=60,
        processes=1,
        stop=StopRequest(),
        choose=lambda *_: engine,
        so_far=SoFar.read(run, most),
    )


def rows(run: RunFolder, shard: int) -> int:
    """How many are committed."""
    return int(shard_store(run, recorded_manifest(run), shard).read().num_rows)


def test_a_run_of_errors_is_stopped_and_stays_so(run: RunFolder) -> None:
    """At a hundred rows; a restart loads and makes nothing, whichever shard it takes; a larger share goes on."""
    with pytest.raises(EngineError, match=r"60 of 100 rows that this process made .*\(60 times\): too long by 0"):
        produce(run, 2, Failing())
    assert rows(run, 2) == 100
    for shard in (2, 0):
        again = Failing()
        with pytest.raises(EngineError, match=r"60 of 100 rows of the run ended in error"):
            produce(run, shard, again)
        assert again.generated == []
    assert produce(run, 2, Failing(), most=0.7)
    with pytest.raises(EngineError, match="rows of the run ended in error"):
        produce(run, 3, Failing())
    tally = committed_tally(run, recorded_manifest(run))
    assert (tally.rows, tally.errors) == (128, 78)


def test_damaged_chunks_are_left_out(run: RunFolder) -> None:
    """They are found and named where the shard is filled."""
    with pytest.raises(EngineError):
        produce(run, 2, Failing())
    (chunk,) = run.shards.glob("*/chunk-*")
    chunk.write_bytes(b"PAR1 no")
    assert committed_tally(run, recorded_manifest(run)) == Tally()


def row(error: str | None) -> Row:
    """One of them."""
    return Row(0, "", "error" if error else "stop", 1, 0, 0, error)


def test_a_process_that_begins_to_fail_is_stopped_in_a_run_that_went_well() -> None:
    """A million good rows are no leave for half a million bad ones."""
    share = ErrorShare(0.5, Tally(1_000_000))
    for _ in range(99):
        share.add(row("NaN"))
    with pytest.raises(EngineError, match="100 of 100 rows that this process made"):
        share.add(row("NaN"))


def test_few_rows_are_not_judged_and_the_very_share_is_allowed() -> None:
    """Ninety-nine errors say nothing yet; half is not more than a half; with 1 nothing stops it."""
    share = ErrorShare(0.5, Tally())
    for _ in range(99):
        share.add(row("NaN"))
    exact = ErrorShare(0.5, Tally())
    for _ in range(200):
        exact.add(row(None))
        exact.add(row("NaN"))
    everything = ErrorShare(1, Tally())
    for _ in range(300):
        everything.add(row("NaN"))
