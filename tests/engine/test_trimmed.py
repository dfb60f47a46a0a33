"""Rows of unlike length are attended to apart, each to what it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from promptmill.engine import attention, trimmed
from promptmill.engine.transformers import TransformersEngine
from tests.engine.tiny import CONFIGURATIONS, RECURRENT, greedy, prompts, requests, run, tiny_model


@pytest.fixture(autouse=True)
def not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without Numba."""
    monkeypatch.setattr(attention, "load_kernel", lambda: None)


@pytest.fixture
def free_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Calls cost nothing, so that even rows that differ by one position are taken apart."""
    monkeypatch.setattr(trimmed, "CALL", 0)
    monkeypatch.setattr(trimmed, "_STEP", 1)
    parts = trimmed._parts
    parts.cache_clear()
    yield
    parts.cache_clear()


@pytest.mark.usefixtures("free_calls")
@pytest.mark.parametrize("kind", sorted(CONFIGURATIONS.keys() - RECURRENT))
def test_rows_come_out_the_same_taken_apart(kind: str, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every kind of attention: sliding windows, soft caps, biases by distance, and those left as they are."""
    model, asked = tiny_model(kind), requests(prompts(14))
    apart = run(TransformersEngine(model, tokenizer, greedy(), batch_size=5, way="slots"), asked)
    monkeypatch.setattr(trimmed, "_parts", lambda steps: ((0, len(steps)),))
    assert apart == run(TransformersEngine(model, tokenizer, greedy(), batch_size=5, way="slots"), asked)


@pytest.mark.usefixtures("free_calls")
def test_a_short_row_does_not_pay_for_a_long_one(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding a row of 60 and three of 6 tokens attends to about 60 and 6 columns, not four times to 60."""
    seen: list[tuple[int, int]] = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def watched(query: torch.Tensor, key: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        seen.append((key.shape[0], key.shape[2]))
        return plain(query, key, *args, **options)

    engine = TransformersEngine(model, tokenizer, greedy(4), batch_size=4, way="slots")
    asked = requests(["a" * 60, "b" * 6, "c" * 6, "d" * 6])
    run(engine, asked)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    run(engine, asked)
    assert {(1, 60), (3, 6)} <= set(seen)
    assert (4, 60) not in seen


def test_the_batch_is_cut_where_it_pays() -> None:
    """Rows of like length stay together; one long row among short ones is alone; few positions are not worth a call."""
    trimmed._parts.cache_clear()
    assert trimmed._parts((10,) * 8) == ((0, 8),)
    assert trimmed._parts((40, *(5,) * 7)) == ((0, 1), (1, 8))
    assert trimmed._parts((5, 5, 5, 40, 5, 5, 5)) == ((0, 3), (3, 4), (4, 7))
    assert trimmed._parts((6, 5, 6, 5)) == ((0, 4),)
