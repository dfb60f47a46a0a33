"""On a CPU, PyTorch's attention over rows of unlike length: short ones apart from long ones.

All rows of a batch end at the same column (`slot_cache.py`), and a mask hides what lies left of the shorter
ones. The kernel computes what is hidden too. Measured with 32 rows among which a few are long: more than half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Costs:
    """What attending in parts costs, in positions of one row.

    Attributes:
        call: of one more call; measured, as the positions are.
        step: lengths count in steps of so many positions, so that one cut of the batch serves for some passes.
    """

    call: int = 64
    step: int = 16


MEASURED = Costs()

Attention = Callable[..., tuple[Tensor, None]]
"""As transformers calls it: with the module, queries, keys, values, a mask, and options."""


def trimmed(whole: Attention, lengths: Sequence[int], costs: Costs = MEASURED) -> Attention:
    """Attention of a pass of one token that looks only at what rows of these lengths have.

    Args:
        whole: transformers' function for PyTorch's attention; it gets what is no such pass as it is.
        lengths: of each row of the batch, the token of this pass included; their last columns are the batch's last.
    """
    parts, longest = _parts(tuple(-(-length // costs.step) for length in lengths), costs), max(lengths)

    def attention(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, None]:
        if (
            len(parts) < 2
            or attention_mask is None
            or not _is_batch(query, key, len(lengths), longest)
            or options.get("position_bias") is not None
        ):
            return whole(module, query, key, value, attention_mask, **options)
        outputs = []
        for start, stop in parts:
            rows, columns = slice(start, stop), slice(longest - max(lengths[start:stop]), longest)
            part = query[rows], key[rows, :, columns], value[rows, :, columns], attention_mask[rows, ..., columns]
            outputs.append(whole(module, *part, **options)[0])
        return torch.cat(outputs), None

    return attention


def _is_batch(query: Tensor, key: Tensor, rows: int, columns: int) -> bool:
    """Whether it is one token of each row, over all columns: not a layer with a shorter memory of its own."""
    return query.shape[0] == rows and query.shape[2] == 1 and key.shape[0] == rows and key.shape[2] == columns


@lru_cache(maxsize=64)
def _parts(steps: tuple[int, ...], costs: Costs) -> tuple[tuple[int, int], ...]:
    """The batch cut into runs of rows, so that padding and calls together cost least.

    Args:
        steps: the rows' lengths, in steps of `costs`.
    """
    best: list[tuple[int, int]] = [(0, 0)]  # of the first so many rows: the cost, and where their last part starts
    for stop in range(1, len(steps) + 1):
        longest, choices = 0, []
        for start in range(stop - 1, -1, -1):
            longest = max(longest, steps[start])
            choices.append((best[start][0] + (stop - start) * longest * costs.step + costs.call, start))
        best.append(min(choices))
    parts, stop = [], len(steps)
    while stop:
        start = best[stop][1]
        parts.append((start, stop))
        stop = start
    return tuple(reversed(parts))
