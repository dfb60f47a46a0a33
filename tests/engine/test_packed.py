"""Weights packed for the CPU compute the same, and leave no trace."""

from __future__ import annotations

from typing import Any

import torch

from promptmill.engine.packed import packed_linears
from promptmill.engine.transformers import TransformersEngine
from tests.engine.tiny import greedy, prompts, requests


def test_packed_layers_compute_the_same_and_are_put_back(model: Any) -> None:
    """Logits agree to rounding; afterwards the model is as it was."""
    ids = torch.arange(24).reshape(2, 12)
    with torch.inference_mode():
        expected = model(ids).logits
        with packed_linears(model):
            assert "forward" in vars(model.lm_head)
            torch.testing.assert_close(model(ids).logits, expected, rtol=1e-4, atol=1e-4)
    assert not any("forward" in vars(module) for module in model.modules())


def test_layers_with_a_forward_of_their_own_are_left_alone(model: Any) -> None:
    """What accelerate or a quantizer has put in a layer's place stays in use."""
    plain = model.lm_head.forward
    model.lm_head.forward = lambda states: plain(states) + 1
    with packed_linears(model), torch.inference_mode():
        assert torch.equal(model.lm_head(torch.zeros(1, 32)), torch.ones(1, 260))
    assert "forward" in vars(model.lm_head)


def test_half_precision_is_not_packed(model: Any) -> None:
    """Only float32 gains, so nothing else is touched."""
    with packed_linears(model.half()):
        assert not any("forward" in vars(module) for module in model.modules())


def test_model_is_put_back_when_completions_are_no_longer_wanted(model: Any, tokenizer: Any) -> None:
    """A caller that stops reading leaves the model as it was."""
    completions = TransformersEngine(model, tokenizer, greedy(), batch_size=2).generate(
        requests(prompts(6)), lambda: False
    )
    next(completions)
    completions.close()  # type: ignore[attr-defined]
    assert not any("forward" in vars(module) for module in model.modules())
