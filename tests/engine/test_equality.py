"""Whatever the way and the batch, a row gets the tokens that the model gives it alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from promptmill.engine.contract import Completion
from promptmill.engine.transformers import TransformersEngine
from promptmill.engine.ways import Way
from tests.engine.tiny import CONFIGURATIONS, EOS, byte_tokenizer, greedy, prompts, requests, run, tiny_model


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


@pytest.mark.parametrize("kind", sorted(CONFIGURATIONS))
def test_greedy_rows_equal_generate_alone(kind: str) -> None:
    """On both ways, prompts of random lengths in few slots come out as `model.generate` gives each by itself."""
    model, tokenizer = tiny_model(kind), byte_tokenizer()
    texts = prompts(14)
    alone = [_alone(model, tokenizer, text, 12) for text in texts]
    _end_some(model, alone)
    expected = [_expected(tokenizer, tokens, model.generation_config.eos_token_id) for tokens in alone]
    assert {reason for _, reason, _ in expected} == {"stop", "length"}
    ways: tuple[Way, ...] = ("slots", "batches")
    for way in ways:
        engine = TransformersEngine(model, tokenizer, greedy(), batch_size=5, way=way)
        assert [_of(completion) for completion in run(engine, requests(texts))] == expected
