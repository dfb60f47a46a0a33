"""Rows of unlike length are attended to apart, each to what it has."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from promptmill.engine import attention
from promptmill.engine.attention import cpu_attention
from promptmill.engine.contract import Completion
from promptmill.engine.model import Forward
from promptmill.engine.policy import Policy
from promptmill.engine.slots import Slots
from promptmill.engine.transformers import TransformersEngine
from promptmill.engine.trimmed import Costs, trimmed
from tests.engine.tiny import CONFIGURATIONS, RECURRENT, greedy, prompts, requests, run, tiny_model


@pytest.fixture(autouse=True)
def not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without Numba."""
    monkeypatch.setattr(attention, "load_kernel", lambda: None)


FREE, DEAR = Costs(call=0, step=1), Costs(call=10**9)
"""Even rows that differ by one position are taken apart; none are."""


def engine(model: Any, tokenizer: Any, costs: Costs, *, rows: int, tokens: int = 12) -> TransformersEngine:
    """One that decodes so many rows in slots, with attention at these costs."""

    def slots(forward: Forward, policy: Policy) -> Slots:
        return Slots(forward, model.config.num_hidden_layers, policy, partial(cpu_attention, costs=costs))

    return TransformersEngine(model, tokenizer, greedy(tokens), batch_size=rows, make_decoder=slots)


@pytest.mark.parametrize("kind", sorted(CONFIGURATIONS.keys() - RECURRENT))
def test_rows_come_out_the_same_taken_apart(kind: str, tokenizer: Any) -> None:
    """For every kind of attention: sliding windows, soft caps, biases by distance, and those left as they are."""
    model = tiny_model(kind)

    def at(costs: Costs) -> list[Completion]:
        return run(engine(model, tokenizer, costs, rows=5), requests(prompts(14)))

    assert at(FREE) == at(DEAR)


def test_a_short_row_does_not_pay_for_a_long_one(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding a row of 60 and three of 6 tokens attends to about 60 and 6 columns, not four times to 60."""
    seen: list[tuple[int, int]] = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def watched(query: torch.Tensor, key: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        seen.append((key.shape[0], key.shape[2]))
        return plain(query, key, *args, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    run(engine(model, tokenizer, FREE, rows=4, tokens=4), requests(["a" * 60, "b" * 6, "c" * 6, "d" * 6]))
    assert {(1, 60), (3, 6)} <= set(seen)
    assert (4, 60) not in seen


def test_the_batch_is_cut_where_it_pays() -> None:
    """Rows of like length stay together; one long row among short ones is alone; few positions are not worth a call."""
    assert calls(*(160,) * 8) == [(8, 160)]
    assert calls(640, *(80,) * 7) == [(1, 640), (7, 80)]
    assert calls(80, 80, 80, 640, 80, 80, 80) == [(3, 80), (1, 640), (3, 80)]
    assert calls(96, 80, 96, 80) == [(4, 96)]


def calls(*lengths: int) -> list[tuple[int, int]]:
    """Rows and columns of each call that attention to rows of these lengths makes."""
    seen: list[tuple[int, int]] = []

    def whole(_: Any, query: torch.Tensor, key: torch.Tensor, *rest: Any) -> tuple[torch.Tensor, None]:
        seen.append((key.shape[0], key.shape[2]))
        return query, None

    rows, columns = len(lengths), max(lengths)
    key = torch.zeros(rows, 1, columns, 1)
    trimmed(whole, lengths)(None, key[:, :, :1], key, key, torch.ones(rows, 1, 1, columns))
    return seen
