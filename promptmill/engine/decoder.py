"""What a way of decoding has to offer to the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from promptmill.engine.rows import Row


class Decoder(Protocol):
    """A batch of rows on a model, of which each forward pass computes one position a row."""

    name: str
    refills: bool
    """Whether rows can join while others are under way."""
    even: bool
    """Whether all rows of a batch must have the same length."""

    def admit(self, rows: Sequence[Row]) -> None:
        """Put rows at the end of the batch: all of their tokens but the last are computed."""
        ...

    def forward(self, tokens: Sequence[int]) -> Tensor:
        """Feed one token a row, in the batch's order; return logits of shape [rows, vocabulary]."""
        ...

    def keep(self, order: Sequence[int]) -> None:
        """Make row `order[i]` the batch's row i, and forget those not named."""
        ...

    def clear(self) -> None:
        """Forget all rows and give their memory back."""
        ...
