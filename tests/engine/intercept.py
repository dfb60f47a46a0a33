"""Puts something between the engine and a model's forward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

Before = Callable[[torch.Tensor], None]


@dataclass
class Passes:
    """The ids [rows, n] of each forward pass since it was watched."""

    ids: list[torch.Tensor] = field(default_factory=list)

    @property
    def most_rows(self) -> int:
        """Rows of the widest pass."""
        return max(ids.shape[0] for ids in self.ids)


def watch(
    model: Any, before: Before = lambda ids: None, after: Callable[[torch.Tensor, Any], None] | None = None
) -> Passes:
    """Note each pass; call `before(ids)`, which may raise, and `after(ids, output)`, which may change logits."""
    passes, forward = Passes(), model.forward

    @functools.wraps(forward)
    def watched(*args: Any, **kwargs: Any) -> Any:
        ids = kwargs["input_ids"]
        before(ids)
        passes.ids.append(ids)
        output = forward(*args, **kwargs)
        if after is not None:
            after(ids, output)
        return output

    model.forward = watched
    return passes
