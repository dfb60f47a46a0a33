"""Whatever the way and the batch, a row gets the tokens that the model gives it alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from torch import Tensor

from promptmill.engine import attention
from promptmill.engine.compiled import Kernel, attend
from promptmill.engine.contract import Completion
from promptmill.engine.transformers import TransformersEngine
from promptmill.engine.ways import Way
from promptmill.rendering import EARLIEST
from tests.engine.tiny import CONFIGURATIONS, EOS, RECURRENT, byte_tokenizer, greedy, prompts, requests, run, tiny_model

LEFT_TO_PYTORCH = {"bloom", *RECURRENT}
"""Kinds whose attention is biased by distance, and those that are not decoded in slots."""


def _alone(model: Any, tokenizer: Any, text: str, most: int) -> list[int]:
    """The tokens that `model.generate` gives for one prompt."""
    inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    tokens = model.generate(**inputs, do_sample=False, max_new_tokens=most, pad_token_id=0)
    fresh: list[int] = tokens[0, inputs["input_ids"].shape[1] :].tolist()
    return fresh


def _end_some(model: Any, alone: list[list[int]]) -> None:
    """Make a second EOS of a token that some rows come to and some don't."""
    counts = Counter(token for tokens in alone for token in set(tokens[2:]))
    token = min(counts, key=lambda token: (abs(counts[token] - len(alone) // 2), token))
    model.generation_config.eos_token_id = [EOS, token]


def _expected(tokenizer: Any, tokens: list[int], ends: list[int]) -> tuple[str, str, int]:
    """Response, finish reason and count of the tokens up to the first of `ends`."""
    for place, token in enumerate(tokens):
        if token in ends:
            return tokenizer.decode(tokens[:place], skip_special_tokens=True), "stop", place + 1
    return tokenizer.decode(tokens, skip_special_tokens=True), "length", len(tokens)


def _of(completion: Completion) -> tuple[str, str, int]:
    return completion.response, completion.finish_reason, completion.completion_tokens


@pytest.fixture
def compiled_calls(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The queries that compiled attention is asked."""
    calls: list[Tensor] = []

    def watched(kernel: Kernel, query: Tensor, *rest: Any) -> Tensor:
        calls.append(query)
        return attend(kernel, query, *rest)

    monkeypatch.setattr(attention, "attend", watched)
    return calls


@pytest.mark.parametrize("kind", sorted(CONFIGURATIONS))
def test_greedy_rows_equal_generate_alone(
    kind: str, monkeypatch: pytest.MonkeyPatch, compiled_calls: list[Tensor]
) -> None:
    """Prompts of random lengths in few slots come out as `model.generate` gives each by itself.

    In static batches; in slots; and in slots without compiled attention, by models that can use it.
    """
    model, tokenizer = tiny_model(kind), byte_tokenizer()
    texts = prompts(14)
    alone = [_alone(model, tokenizer, text, 12) for text in texts]
    _end_some(model, alone)
    expected = [_expected(tokenizer, tokens, model.generation_config.eos_token_id) for tokens in alone]
    assert {reason for _, reason, _ in expected} == {"stop", "length"}

    def rows(way: Way) -> list[Completion]:
        # Random tokens end in halves of characters, which later rules leave out of the response.
        engine = TransformersEngine(model, tokenizer, greedy(), batch_size=5, way=way, rendering=EARLIEST)
        return run(engine, requests(texts))

    assert [_of(completion) for completion in rows("batches")] == expected
    assert not compiled_calls
    slots = rows("slots")
    assert [_of(completion) for completion in slots] == expected
    assert bool(compiled_calls) == (model.config._attn_implementation == "sdpa" and kind not in LEFT_TO_PYTORCH)
    if compiled_calls:
        monkeypatch.setattr(attention, "load_kernel", lambda: None)
        assert rows("slots") == slots
