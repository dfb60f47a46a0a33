"""Computes the keys and values of prompts, those that prompts have in common only once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from promptmill.engine.model import Forward
from promptmill.engine.policy import PREFILL_TOKENS, SHARED_LEAST
from promptmill.engine.rows import Row
from promptmill.engine.slot_cache import Entry


class Prefill:
    """Computes groups of rows, padded on the right.

    Nobody asks for the logits: a row's last token is fed by the first decoding step. So the padding
    comes after all that counts, causal attention never sees it, and no mask is needed.
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self.clear()

    def clear(self) -> None:
        """Forget the common prefix."""
        self._prefix: list[int] = []
        self._prefix_entry: Entry = []
        self._beyond = False

    def compute(self, rows: Sequence[Row]) -> list[Entry]:
        """The entries of all tokens of each row but its last; the rows have the same rotary factors."""
        tokens = [row.tokens[:-1] for row in rows]
        longest = max(map(len, tokens))
        if not longest:
            return [[] for _ in rows]
        shared = self._share(rows, tokens)
        cache = self._run([item[shared:] for item in tokens], self._prefix_entry if shared else [], rows)
        return [_entry(cache, place, len(item)) for place, item in enumerate(tokens)]

    def _share(self, rows: Sequence[Row], tokens: Sequence[list[int]]) -> int:
        """Have the rows' common prefix ready; how many tokens it has, or 0 for none."""
        shared = min(row.shared for row in rows)
        prefix = tokens[0][:shared]
        if shared < SHARED_LEAST or any(item[:shared] != prefix for item in tokens):
            return 0
        rope = self._forward.longrope
        beyond = rope is not None and rope.beyond(rows[0])
        if (prefix, beyond) != (self._prefix, self._beyond):
            self._prefix_entry = _entry(self._run([prefix], [], rows[:1]), 0, shared)
            self._prefix, self._beyond = prefix, beyond
        return shared

    def _run(self, tokens: Sequence[list[int]], prefix: Entry, rows: Sequence[Row]) -> DynamicCache:
        """Compute tokens of rows that go on from `prefix`, in passes of bounded size."""
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(prefix):
            cache.update(keys.expand(len(tokens), -1, -1, -1), values.expand(len(tokens), -1, -1, -1), layer)
        width = max(map(len, tokens))
        padded = torch.tensor([item + [0] * (width - len(item)) for item in tokens], device=self._forward.device)
        size = max(1, PREFILL_TOKENS // len(tokens))
        for start in range(0, width, size):
            self._pass(padded[:, start : start + size], cache, rows)
        return cache

    def _pass(self, ids: Tensor, cache: DynamicCache, rows: Sequence[Row]) -> None:
        seen, width = cache.get_seq_length(), ids.shape[1]
        mask = torch.ones(len(rows), seen + width, dtype=torch.long, device=ids.device)
        positions = torch.arange(seen, seen + width, device=ids.device).expand(len(rows), -1)
        self._forward(ids, mask, positions, cache, rows=rows)


def _entry(cache: DynamicCache, row: int, length: int) -> Entry:
    return [(layer.keys[row, :, :length], layer.values[row, :, :length]) for layer in cache.layers]
