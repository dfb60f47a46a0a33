"""Static batches: rows that begin together, on the model's own cache. Works for every architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from promptmill.engine.model import CACHE_NAMES, Forward
from promptmill.engine.rows import Row


class Batches:
    """Decodes a batch with the cache that the model makes for itself, padded on the left.

    It serves what `Slots` can't: recurrent models above all, whose state would take in the padding,
    so that their rows have to be of one length. A model without any cache computes all anew.
    """

    name = "static batches"
    refills = False

    def __init__(self, forward: Forward) -> None:
        self.even = bool(getattr(forward.model, "_is_stateful", False)) or forward.cache_name is None
        self._forward = forward
        self._cache: Any = None
        self._seen: Tensor | None = None
        self._mask = torch.empty(0, 0, dtype=torch.long)
        self._rows: list[Row] = []

    def admit(self, rows: Sequence[Row]) -> None:
        """Compute the prompts; only an empty batch takes rows."""
        self._rows = list(rows)
        tokens = [row.tokens[:-1] for row in rows]
        width = max(map(len, tokens))
        device = self._forward.device
        ids = torch.tensor([[0] * (width - len(item)) + item for item in tokens], dtype=torch.long, device=device)
        self._mask = torch.tensor([[0] * (width - len(item)) + [1] * len(item) for item in tokens], device=device)
        self._mask = self._mask.reshape(len(rows), width).long()
        if width:
            self._feed(ids.reshape(len(rows), width))

    def forward(self, tokens: Sequence[int]) -> Tensor:
        """Feed one token a row; logits [rows, vocabulary]."""
        rope = self._forward.longrope
        if rope is not None and any(map(rope.crosses, self._rows)):
            self._cache = self._seen = None
            self.admit(self._rows)
        ids = torch.tensor(tokens, dtype=torch.long, device=self._forward.device)[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(ids)], dim=-1)
        return self._feed(ids)

    def keep(self, order: Sequence[int]) -> None:
        """Select rows of the mask and of the cache."""
        if not order:
            self.clear()
            return
        index = torch.tensor(order, device=self._mask.device)
        self._rows = [self._rows[place] for place in order]
        self._mask = self._mask[index]
        if self._seen is not None:
            self._seen = self._seen[index]
        if self._cache is not None:
            self._cache.reorder_cache(index)

    def clear(self) -> None:
        """Drop mask and cache."""
        self._mask = torch.empty(0, 0, dtype=torch.long)
        self._cache = self._seen = None
        self._rows = []

    def _feed(self, ids: Tensor) -> Tensor:
        """Compute the new ids, the last columns of the mask; rows of one length need none, and Mamba bears none."""
        if self._forward.cache_name is None:
            ids = ids if self._seen is None else torch.cat([self._seen, ids], dim=-1)
            self._seen = ids
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self._forward(ids, None if self.even else self._mask, positions, self._cache, rows=self._rows)
        if self._forward.cache_name is not None:
            self._cache = next((output[name] for name in CACHE_NAMES if output.get(name) is not None), None)
        logits: Tensor = output.logits[:, -1]
        return logits
