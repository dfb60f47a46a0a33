"""What goes wrong in a forward pass costs as few rows as possible, and never one without a word."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from promptmill.engine.transformers import TransformersEngine
from promptmill.engine.ways import Way
from promptmill.errors import EngineError
from tests.engine.intercept import watch
from tests.engine.tiny import greedy, prompts, requests, run

BAD = ord("Z")
WAYS: tuple[Way, ...] = ("slots", "batches")


@pytest.mark.parametrize("way", WAYS)
def test_out_of_memory_halves_the_batch_and_loses_nothing(
    model: Any, tokenizer: Any, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    """A model that takes three rows at most gives the same completions, each once, after one line a halving."""
    asked = requests(prompts(12))
    expected = run(TransformersEngine(model, tokenizer, greedy(), way=way), asked)
    engine = TransformersEngine(model, tokenizer, greedy(), batch_size=12, way=way)

    def before(ids: torch.Tensor) -> None:
        if ids.shape[0] > 3:
            raise torch.OutOfMemoryError("no room for so many rows")

    watch(model, before)
    with caplog.at_level(logging.WARNING):
        assert run(engine, asked) == expected
    assert [record.getMessage() for record in caplog.records if record.name != "promptmill.engine.finish"] == [
        "Out of memory with 12 rows; going on with 6.",
        "Out of memory with 6 rows; going on with 3.",
    ]


def test_rows_under_way_keep_their_tokens_when_memory_runs_out(model: Any, tokenizer: Any) -> None:
    """Memory that runs out in the middle of completions changes none of them."""
    asked = requests(prompts(10))
    expected = run(TransformersEngine(model, tokenizer, greedy()), asked)
    count = 0

    def before(ids: torch.Tensor) -> None:
        nonlocal count
        count += 1
        if count % 17 == 0 and ids.shape[0] > 1:
            raise torch.OutOfMemoryError("now and then")

    watch(model, before)
    assert run(TransformersEngine(model, tokenizer, greedy(), batch_size=6), asked) == expected


def test_row_that_does_not_fit_alone_is_an_error_row(model: Any, tokenizer: Any) -> None:
    """Out of memory with a single row ends that row with its length and the reason; the others go on."""

    def before(ids: torch.Tensor) -> None:
        if bool((ids == BAD).any()):
            raise torch.OutOfMemoryError("too long")

    watch(model, before)
    texts = [*prompts(5), "abcZabc"]
    completions = run(TransformersEngine(model, tokenizer, greedy()), requests(texts))
    assert [completion.finish_reason == "error" for completion in completions] == [False] * 5 + [True]
    assert "7 tokens: too long" in str(completions[5].error)


@pytest.mark.parametrize("way", WAYS)
def test_row_that_makes_the_model_fail_is_an_error_row(model: Any, tokenizer: Any, way: Way) -> None:
    """A pass that fails is tried row by row: the row at fault gets the reason, the others their completions."""
    good = prompts(9)
    expected = run(TransformersEngine(model, tokenizer, greedy(), way=way), requests(good))

    def before(ids: torch.Tensor) -> None:
        if bool((ids == BAD).any()):
            raise ValueError("I don't like this token")

    watch(model, before)
    completions = run(TransformersEngine(model, tokenizer, greedy(), batch_size=4, way=way), requests([*good, "aZb"]))
    assert completions[:9] == expected
    assert completions[9].finish_reason == "error"
    assert "ValueError: I don't like this token" in str(completions[9].error)


@pytest.mark.parametrize("count", [1, 3, 20])
def test_model_that_always_fails_is_an_engine_error(model: Any, tokenizer: Any, count: int) -> None:
    """Where no row works, the model is at fault, and the error carries the reason."""
    engine = TransformersEngine(model, tokenizer, greedy())
    run(engine, requests(["warm up"]))

    def before(ids: torch.Tensor) -> None:
        raise ValueError("broken for good")

    watch(model, before)
    with pytest.raises(EngineError, match="broken for good"):
        run(engine, requests(prompts(count)))


@pytest.mark.parametrize("way", WAYS)
def test_row_with_nan_is_an_error_row_and_infects_no_other(model: Any, tokenizer: Any, way: Way) -> None:
    """A token whose embedding is NaN spoils its own row; rows beside it, and after it in its slot, are sound."""
    texts = prompts(16)
    expected = run(TransformersEngine(model, tokenizer, greedy(), way=way), requests(texts))
    with torch.no_grad():
        model.get_input_embeddings().weight[BAD] = torch.nan
    mixed = [*texts[:8], "aaaaaaZaa", "Z", *texts[8:]]
    completions = run(TransformersEngine(model, tokenizer, greedy(), batch_size=3, way=way), requests(mixed))
    assert [completion.finish_reason for completion in completions[8:10]] == ["error", "error"]
    others = completions[:8] + completions[10:]
    assert [completion.response for completion in others] == [completion.response for completion in expected]


@pytest.mark.parametrize("way", WAYS)
def test_told_to_stop_hands_over_what_has_finished(model: Any, tokenizer: Any, way: Way) -> None:
    """Once `should_stop` is true no forward pass is begun, and only finished rows are yielded."""
    asked = requests(prompts(12))
    expected = run(TransformersEngine(model, tokenizer, greedy(), batch_size=3, way=way), asked)
    engine = TransformersEngine(model, tokenizer, greedy(), batch_size=3, way=way)
    run(engine, asked[:1])
    passes = watch(model)
    given = list(engine.generate(asked, lambda: len(passes.ids) >= 20))
    assert len(passes.ids) <= 24
    assert 0 < len(given) < 12
    assert all(completion == expected[completion.position] for completion in given)
