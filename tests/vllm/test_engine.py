"""What the vllm engine does beyond the contract of all engines (tests/engine/test_contract.py)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptmill.engine.contract import Completion, Request
from promptmill.engine.transformers import TransformersEngine
from promptmill.errors import ConfigurationError, EngineError
from promptmill.sampling import SamplingParameters, row_seed
from promptmill.vllm.engine import VllmEngine
from promptmill.vllm.loading import LoadedVllm, load
from promptmill.vllm.plan import VllmPlan
from tests.engine import test_contract
from tests.engine.tiny import EOS, byte_tokenizer, greedy, prompts, requests, tiny_model

MOST = 12
SAMPLED = SamplingParameters(max_new_tokens=MOST, temperature=1.0, top_p=0.9, top_k=40, min_p=0.01)


@pytest.fixture(scope="module")
def loaded(tiny_llama: Path) -> LoadedVllm:
    """The tiny Llama in vLLM."""
    return load(VllmPlan(str(tiny_llama), "float32", "none", gpus=0, memory_share=None, cache_bytes=64 * 2**20), 1)


def run(engine: Any, given: list[Request]) -> list[Completion]:
    """All completions, in the order of the requests."""
    return sorted(engine.generate(given, lambda: False), key=lambda completion: completion.position)


def texts(engine: Any, given: list[Request]) -> list[tuple[str, str]]:
    """Responses and how they ended."""
    return [(one.response, one.finish_reason) for one in run(engine, given)]


def test_the_contract_is_tested_here() -> None:
    """`make test-vllm` means something: the test of all engines takes vLLM in."""
    assert "vllm" in test_contract.ENGINES


def test_a_row_is_the_same_in_any_batch(loaded: LoadedVllm) -> None:
    """Sampled with a seed of its own: alone, with others, in another order."""
    given = requests(prompts(12))
    together = texts(VllmEngine(loaded, SAMPLED), given)
    assert texts(VllmEngine(loaded, SAMPLED, batch_size=1), given) == together
    few = [replace(one, position=place) for place, one in enumerate(given[7:3:-1])]
    assert texts(VllmEngine(loaded, SAMPLED), few) == together[7:3:-1]


def test_another_seed_is_another_row(loaded: LoadedVllm) -> None:
    """The seed is passed on: samples of one prompt differ, and so do runs."""
    given = [Request(place, row_seed(0, "one", place), prompt="the same prompt") for place in range(6)]
    first = texts(VllmEngine(loaded, SAMPLED), given)
    assert len(set(first)) == 6
    other = [replace(one, seed=row_seed(1, "one", place)) for place, one in enumerate(given)]
    assert not set(first) & set(texts(VllmEngine(loaded, SAMPLED), other))


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 0.999}])
def test_a_narrow_choice_is_the_greedy_one(loaded: LoadedVllm, narrow: dict[str, Any]) -> None:
    """Each way of leaving tokens out reaches vLLM; without it the rows are others."""
    given = requests(prompts(6))
    wide = SamplingParameters(max_new_tokens=MOST, temperature=1.0, top_p=1.0)
    best = texts(VllmEngine(loaded, greedy(MOST)), given)
    assert texts(VllmEngine(loaded, replace(wide, **narrow)), given) == best
    assert texts(VllmEngine(loaded, wide), given) != best


def test_a_penalty_is_that_of_transformers(loaded: LoadedVllm) -> None:
    """On prompt and completion, with the same strength."""
    given, sampling = requests(prompts(8)), greedy(MOST, repetition_penalty=1.6)
    expected = texts(TransformersEngine(tiny_model("wide llama"), byte_tokenizer(), sampling), given)
    assert texts(VllmEngine(loaded, sampling), given) == expected
    assert expected != texts(VllmEngine(loaded, greedy(MOST)), given)


def test_an_end_of_the_models_own_ends_a_row(loaded: LoadedVllm) -> None:
    """Any id that the generation configuration names; it counts as a token and is not in the text."""
    given = requests(prompts(12))
    free = run(VllmEngine(loaded, greedy(MOST)), given)
    end = next(letter for one in free for letter in one.response[2:] if letter.isascii())
    config = type(loaded.generation_config)(eos_token_id=[EOS, ord(end)])
    ended = run(VllmEngine(replace(loaded, generation_config=config), greedy(MOST)), given)
    assert [one.response for one in ended] == [one.response.split(end)[0] for one in free]
    changed = [one for one, other in zip(ended, free, strict=True) if end in other.response]
    assert changed
    assert {one.finish_reason for one in changed} == {"stop"}


def test_a_row_without_room_is_an_error_row(loaded: LoadedVllm) -> None:
    """Where memory has less room than the model has positions, nothing is cut short in silence."""
    small = replace(loaded, room=20)
    completions = run(VllmEngine(small, greedy(MOST)), requests(["short", "x" * 12]))
    assert [one.finish_reason == "error" for one in completions] == [False, True]
    assert "vLLM has room for 20" in str(completions[1].error)
    assert completions[1].prompt_tokens == 12


def test_a_request_that_vllm_refuses_is_an_error_row(loaded: LoadedVllm) -> None:
    """An id outside of the model's vocabulary disturbs no other row."""

    class Odd:
        """The tokenizer, with one token too many."""

        def __getattr__(self, name: str) -> Any:
            return getattr(loaded.tokenizer, name)

        def __call__(self, text: str) -> dict[str, list[int]]:
            ids = loaded.tokenizer(text)["input_ids"]
            return {"input_ids": [99_999] if text == "odd" else ids}

    completions = run(VllmEngine(replace(loaded, tokenizer=Odd()), greedy(MOST)), requests(["one", "odd", "two"]))
    assert [one.finish_reason == "error" for one in completions] == [False, True, False]
    assert "99999" in str(completions[1].error)


def test_many_long_prompts_with_seeds_are_taken_in(loaded: LoadedVllm) -> None:
    """More prompts than one forward pass takes: on a CPU vLLM fails where it cuts a seeded row's prompt in two."""
    given = requests(["the same long beginning of all the prompts, and then " + text for text in prompts(60)])
    assert sum(len(str(one.prompt)) for one in given) > loaded.prefill
    assert {one.finish_reason for one in run(VllmEngine(loaded, SAMPLED), given)} <= {"stop", "length"}


def test_a_row_that_vllm_gives_up_is_an_error_row(loaded: LoadedVllm, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a reason of its own, which the row tells."""
    step = loaded.engine.step

    def spoilt() -> list[Any]:
        outputs: list[Any] = step()
        for output in outputs:
            output.outputs[0].finish_reason = "repetition" if output.finished else None
        return outputs

    monkeypatch.setattr(loaded.engine, "step", spoilt)
    completions = run(VllmEngine(loaded, greedy(MOST)), requests(["one", "two"]))
    assert [one.error for one in completions] == ["vLLM gave this row up: repetition."] * 2


def test_an_engine_that_fails_ends_the_run(loaded: LoadedVllm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are not given up for a fault that is vLLM's."""

    def broken() -> list[Any]:
        raise RuntimeError("device lost")

    monkeypatch.setattr(loaded.engine, "step", broken)
    with pytest.raises(EngineError, match="device lost"):
        run(VllmEngine(loaded, greedy(MOST)), requests(["one", "two"]))
    monkeypatch.undo()
    assert not loaded.engine.has_unfinished_requests()


def test_requests_are_taken_as_they_are_needed(loaded: LoadedVllm) -> None:
    """A million of them are not encoded before the first row is there."""
    taken = 0

    def many() -> Iterator[Request]:
        nonlocal taken
        for one in requests(["a", "b"] * 10_000):
            taken += 1
            yield one

    rows = VllmEngine(loaded, greedy(2)).generate(many(), lambda: False)
    assert next(rows).completion_tokens
    assert taken < 5_000
    rows.close()  # type: ignore[attr-defined]


def test_rows_under_way_end_where_no_more_may_begin(loaded: LoadedVllm) -> None:
    """Those that vLLM has are finished; the others are left."""
    asked: list[None] = []

    def twice() -> bool:
        asked.append(None)
        return len(asked) <= 2

    completions = list(VllmEngine(loaded, greedy(MOST), batch_size=3).generate(
        requests(prompts(20)), lambda: False, twice
    ))  # fmt: skip
    assert len(completions) == 3
    assert all(one.finish_reason in ("stop", "length") for one in completions)


def test_more_rows_than_vllm_was_started_for_are_no_fault(loaded: LoadedVllm, caplog: pytest.LogCaptureFixture) -> None:
    """It takes what it can, and the log says how many; as its own class for batches it takes 256 on a CPU."""
    assert loaded.rows == 256
    with caplog.at_level(logging.INFO):
        engine = VllmEngine(loaded, greedy(2), batch_size=loaded.rows + 1)
    assert "vLLM takes 256 rows at a time here, and no more of --batch-size 257" in caplog.text
    assert len(run(engine, requests(["one", "two"]))) == 2
    with pytest.raises(ConfigurationError, match="--batch-size is 0"):
        VllmEngine(loaded, greedy(), batch_size=0)
