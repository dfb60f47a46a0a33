"""Filling a shard: what is committed when, and what is not made twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from promptmill.engine.contract import Completion, MayBegin, Request, ShouldStop
from promptmill.errors import EngineError
from promptmill.generate import PromptForm, fill_shard, missing_requests
from promptmill.pace import Pace
from promptmill.prompts import PreparedPrompt
from promptmill.sampling import row_seed
from promptmill.shard import ShardStore
from tests.fakes import StubEngine, completion_of

ROWS = 6


def prompts(count: int = ROWS) -> Iterator[PreparedPrompt]:
    """Prompts with ids."""
    return (PreparedPrompt(f"{index:08d}", f"prompt {index}", None) for index in range(count))


def form(**changes: object) -> PromptForm:
    """Plain prompts, one sample."""
    return PromptForm(**{"chat": False, "system_prompt": None, "samples": 1, "run_seed": 5, **changes})  # type: ignore[arg-type]


def store(folder: Path) -> ShardStore:
    """An empty or half-filled shard."""
    return ShardStore(folder, 0, fingerprint="f", rows=ROWS)


def fill(target: ShardStore, engine: object, *, seconds: float = 60, stop_after: int | None = None) -> bool:
    """Fill the shard, told to stop after so many rows."""
    seen: list[int] = []
    return fill_shard(
        target,
        missing_requests(target, form().requests(prompts())),
        engine,  # type: ignore[arg-type]
        checkpoint_seconds=seconds,
        should_stop=lambda: stop_after is not None and len(seen) >= stop_after,
        on_row=lambda row: seen.append(row.position),
    )


def test_a_filled_shard_is_complete(tmp_path: Path) -> None:
    """Every request has its row, with its own seed, and the manifest is there."""
    assert fill(store(tmp_path), StubEngine())
    table = store(tmp_path).read()
    assert table["position"].to_pylist() == list(range(ROWS))
    assert table["seed"].to_pylist() == [row_seed(5, f"{index:08d}", 0) for index in range(ROWS)]
    assert store(tmp_path).manifest() is not None


def test_rows_that_finished_before_a_stop_are_kept_and_not_made_again(tmp_path: Path) -> None:
    """Told to stop after two rows, it commits two; the next start makes the other four."""
    assert not fill(store(tmp_path), StubEngine(), stop_after=2)
    assert store(tmp_path).read().num_rows == 2
    again = StubEngine()
    assert fill(store(tmp_path), again)
    assert sorted(again.generated) == [0, 1, 2, 3]


def test_rows_that_finished_before_an_error_are_kept(tmp_path: Path) -> None:
    """An engine that fails loses nothing that it had finished."""
    with pytest.raises(RuntimeError, match="fails as it was told"):
        fill(store(tmp_path), StubEngine(fail_after=3))
    assert store(tmp_path).read().num_rows == 3


def test_rows_are_committed_between_forward_passes_when_a_checkpoint_is_due(tmp_path: Path) -> None:
    """A row that finished is on disk before the next one finishes, however long that takes."""

    class Patient:
        """Looks at the disk between two rows."""

        def generate(
            self, requests: list[Request], should_stop: ShouldStop, may_begin: MayBegin
        ) -> Iterator[Completion]:
            for number, request in enumerate(requests):
                should_stop()
                assert store(tmp_path).read().num_rows == number
                yield completion_of(request)

    assert fill(store(tmp_path), Patient(), seconds=0)


def test_an_engine_that_forgets_rows_is_an_error(tmp_path: Path) -> None:
    """Rows are never left out silently."""

    class Forgetful:
        """Ends early without being told to."""

        def generate(
            self, requests: list[Request], should_stop: ShouldStop, may_begin: MayBegin
        ) -> Iterator[Completion]:
            yield completion_of(requests[0])

    with pytest.raises(EngineError, match="without 5 rows"):
        fill(store(tmp_path), Forgetful())
    assert store(tmp_path).read().num_rows == 1


@pytest.mark.parametrize("told", [True, False])
def test_an_engine_that_breaks_off_once_it_is_told_to_stop_has_stopped(tmp_path: Path, told: bool) -> None:
    """A signal to all processes of a job ends what the engine has besides this one; its rows are kept."""

    class Broken:
        """Its workers hear the signal as well."""

        def generate(
            self, requests: list[Request], should_stop: ShouldStop, may_begin: MayBegin
        ) -> Iterator[Completion]:
            yield completion_of(requests[0])
            raise EngineError("RuntimeError: cancelled")

    if told:
        assert not fill(store(tmp_path), Broken(), stop_after=1)
    else:
        with pytest.raises(EngineError, match="cancelled"):
            fill(store(tmp_path), Broken())
    assert store(tmp_path).read().num_rows == 1


def test_samples_of_a_prompt_have_seeds_of_their_own() -> None:
    """Two samples a prompt are two requests with the same text, next to each other."""
    requests = list(form(samples=2).requests(prompts(2)))
    assert [request.position for request in requests] == [0, 1, 2, 3]
    assert [request.prompt for request in requests] == ["prompt 0", "prompt 0", "prompt 1", "prompt 1"]
    assert len({request.seed for request in requests}) == 4


def test_a_chat_model_gets_messages() -> None:
    """A plain prompt becomes the user's message, after the system prompt."""
    (request,) = form(chat=True, system_prompt="Be brief.").requests(prompts(1))
    assert request.prompt is None
    assert request.messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "prompt 0"},
    )


def test_a_system_message_of_the_row_wins() -> None:
    """Messages that bring their own system message keep it."""
    own = ({"role": "system", "content": "Mine."}, {"role": "user", "content": "Hi."})
    (request,) = form(chat=True, system_prompt="Be brief.").requests(iter([PreparedPrompt("0", None, own)]))
    assert request.messages == own


def test_no_row_is_begun_that_the_time_does_not_allow(tmp_path: Path) -> None:
    """Near a walltime what finished is committed, and the shard is not complete."""
    target, asked = store(tmp_path), []

    def time_for(seconds: float) -> bool:
        asked.append(seconds)
        return len(asked) <= 2

    missing = missing_requests(target, form().requests(prompts()))
    engine = StubEngine(seconds=0.01)
    options = {"checkpoint_seconds": 60, "should_stop": lambda: False, "on_row": lambda row: None}
    assert not fill_shard(target, missing, engine, time_for=time_for, **options)  # type: ignore[arg-type]
    assert target.read().num_rows == 2
    assert asked[0] == 0
    assert asked[1] >= 0.01


def test_a_shard_knows_the_pace_of_the_one_before(tmp_path: Path) -> None:
    """In the last seconds of a walltime its very first row is begun only if there is time for it."""
    pace, asked = Pace(), []

    def time_for(seconds: float) -> bool:
        asked.append(seconds)
        return True

    for shard in (tmp_path / "first", tmp_path / "second"):
        target = store(shard)
        missing = missing_requests(target, form().requests(prompts()))
        options = {"checkpoint_seconds": 60, "should_stop": lambda: False, "on_row": lambda row: None}
        assert fill_shard(target, missing, StubEngine(seconds=0.01), time_for=time_for, pace=pace, **options)  # type: ignore[arg-type]
    assert asked[0] == 0
    assert asked[len(asked) // 2] >= 0.01
