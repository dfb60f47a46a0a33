"""Which attention rows get that go on by one token each, on a CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from promptmill.engine.compiled import attend, load_kernel, suits
from promptmill.engine.trimmed import MEASURED, Attention, Costs, trimmed

_NAME = "sdpa"


@contextmanager
def cpu_attention(lengths: Sequence[int], costs: Costs = MEASURED) -> Iterator[None]:
    """Let models that use PyTorch's attention compute passes of one token by compiled code, or a few rows at a time.

    Args:
        lengths: of each row of the batch, the token of this pass included; their last columns are the batch's last.
        costs: what decides how few rows at a time.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    kernel, whole = load_kernel(), ALL_ATTENTION_FUNCTIONS[_NAME]
    apart: Attention | None = None

    def attention(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, None]:
        nonlocal apart
        if kernel is not None and suits(query, key, value, attention_mask, options):
            return attend(kernel, query, key, value, attention_mask, options.get("scaling")), None
        apart = apart or trimmed(whole, lengths, costs)
        return apart(module, query, key, value, attention_mask, **options)

    ALL_ATTENTION_FUNCTIONS[_NAME] = attention
    try:
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS[_NAME] = whole
