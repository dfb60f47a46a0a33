"""What is said of a finished dataset whose rows ended in error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from promptmill.assemble import assemble, recorded_dataset
from promptmill.engine.contract import Completion, MayBegin, Request, ShouldStop, always
from promptmill.errors import EngineError
from promptmill.generate import PromptForm, fill_shard, missing_requests
from promptmill.outcome import require_rows, told
from promptmill.plan import recorded_manifest, shard_store, write_manifest
from promptmill.prompts import PromptOptions, prepare_prompts, read_prepared
from promptmill.run import RunFolder
from tests.fakes import StubEngine, begun_run


class Failing(StubEngine):
    """Answers the first rows, and ends the others in error."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self.good = good

    def generate(
        self, requests: Iterable[Request], should_stop: ShouldStop, may_begin: MayBegin = always
    ) -> Iterator[Completion]:
        """One completion a request."""
        for request in requests:
            if request.position < self.good:
                yield Completion(request.position, "yes", "stop", 1, 1)
            else:
                why = "seldom" if request.position == 1 else "too long"
                yield Completion(request.position, "", "error", 1, 0, why)


def finished(folder: Path, good: int) -> RunFolder:
    """A run of four rows, of which the first few are good."""
    source = folder / "prompts.txt"
    source.write_text("one\ntwo\nthree\nfour\n")
    run = begun_run(folder / "data", source)
    write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), samples=1)
    store = shard_store(run, recorded_manifest(run), 0)
    form = PromptForm(chat=False, system_prompt=None, samples=1, run_seed=0)
    missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, 0, 4)))
    fill_shard(store, missing, Failing(good), checkpoint_seconds=60, should_stop=lambda: False, on_row=lambda row: None)
    assemble(run, lambda run: None)
    return run


def test_rows_of_errors_alone_are_no_dataset(tmp_path: Path) -> None:
    """However few they are; with the commonest reason, and code 70."""
    run = finished(tmp_path, good=0)
    with pytest.raises(EngineError, match=r"All 4 rows ended in error\. Most often \(3 times\): too long") as caught:
        require_rows(run)
    assert caught.value.exit_code == 70
    assert str(run.dataset) in str(caught.value)


@pytest.mark.parametrize(
    ("good", "says"), [(4, "4 rows (0 errors) in {}"), (1, "4 rows (3 errors) in {}. Most often (2 times): too long")]
)
def test_some_errors_are_told_with_the_commonest_reason(tmp_path: Path, good: int, says: str) -> None:
    """And end nothing."""
    run = finished(tmp_path, good=good)
    require_rows(run)
    dataset = recorded_dataset(run)
    assert dataset is not None
    assert told(run, dataset) == says.format(run.dataset)
