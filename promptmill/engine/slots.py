"""Slots: a batch that is kept full, as every row that ends makes room for the next at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain

import torch
from torch import Tensor

from promptmill.engine.attention import cpu_attention
from promptmill.engine.grouping import prefill_groups
from promptmill.engine.model import Forward
from promptmill.engine.policy import CPU_PASS_TOKENS, DEVICE_PASS_TOKENS, Policy
from promptmill.engine.prefill import Prefill
from promptmill.engine.rows import Row
from promptmill.engine.slot_cache import SlotCache

CpuAttention = Callable[[Sequence[int]], AbstractContextManager[None]]
"""How a CPU attends inside the block, told the rows' lengths."""


class Slots:
    """Decodes on a `SlotCache`, in which rows of any age stand side by side."""

    name = "slots"
    refills = True
    even = False

    def __init__(self, forward: Forward, layers: int, policy: Policy, attention: CpuAttention = cpu_attention) -> None:
        self._forward = forward
        self._layers = layers
        self._policy = policy
        self._attention = attention
        self._prefill = Prefill(forward)
        self._cache = SlotCache(layers)
        self._rows: list[Row] = []

    def admit(self, rows: Sequence[Row]) -> None:
        """Compute the rows' tokens but the last, or copy them from a live row with the same prompt."""
        live = len(self._rows)
        donors = {(row.key, self._beyond(row)): slot for slot, row in enumerate(self._rows)}
        self._rows.extend(rows)
        self._grow()
        self._cache.open([row.length - 1 for row in rows])
        waiting: dict[bytes, list[int]] = {}
        for slot, row in enumerate(rows, start=live):
            donor = donors.get((row.key, self._beyond(row)))
            if donor is not None and not row.generated:
                self._cache.copy(donor, slot)
            else:
                waiting.setdefault(row.whole_key, []).append(slot)
        self._compute(waiting)

    def forward(self, tokens: Sequence[int]) -> Tensor:
        """Feed one token a row; logits [rows, vocabulary]."""
        self._compute_anew()
        self._cache.make_room(0)
        span = self._cache.span
        ids, starts = torch.tensor([list(tokens), span.starts], device=self._forward.device)
        columns = torch.arange(span.first, span.end + 1, device=ids.device)
        mask = (columns >= starts[:, None]).long()
        with self._attending():
            positions = (span.end - starts)[:, None]
            output = self._forward(ids[:, None], mask, positions, self._cache, rows=self._rows)
        logits: Tensor = output.logits[:, -1]
        span.end += 1
        return logits

    def keep(self, order: Sequence[int]) -> None:
        """Close gaps: copy rows into the slots that have become free."""
        self._cache.keep(list(order))
        self._rows = [self._rows[place] for place in order]

    def clear(self) -> None:
        """Free the cache."""
        self._cache = SlotCache(self._layers)
        self._rows = []
        self._prefill.clear()

    def _compute(self, waiting: dict[bytes, list[int]]) -> None:
        """Fill the slots that wait for the same tokens, each different sequence computed once."""
        pass_tokens = CPU_PASS_TOKENS if self._forward.device.type == "cpu" else DEVICE_PASS_TOKENS
        rows = [self._rows[slots[0]] for slots in waiting.values()]
        parts = [[row for row in rows if self._beyond(row) == beyond] for beyond in (True, False)]
        for group in chain.from_iterable(prefill_groups(part, pass_tokens) for part in parts):
            for row, entry in zip(group, self._prefill.compute(group), strict=True):
                for slot in waiting[row.whole_key]:
                    self._cache.place(slot, entry)

    def _compute_anew(self) -> None:
        """Give rows that have just grown beyond the short rotary factors the long ones from their beginning."""
        rope = self._forward.longrope
        waiting: dict[bytes, list[int]] = {}
        for slot, row in enumerate(self._rows):
            if rope is not None and rope.crosses(row):
                waiting.setdefault(row.whole_key, []).append(slot)
        self._compute(waiting)

    def _beyond(self, row: Row) -> bool:
        rope = self._forward.longrope
        return rope is not None and rope.beyond(row)

    def _attending(self) -> AbstractContextManager[None]:
        # A GPU has the arithmetic to spare, and waits for calls.
        if self._forward.device.type != "cpu":
            return nullcontext()
        return self._attention([self._cache.span.end + 1 - start for start in self._cache.span.starts])

    def _grow(self) -> None:
        """Have a cache in which all rows can be completed."""
        reserve, rows = max(row.reserve for row in self._rows), len(self._rows)
        span = self._cache.span
        if rows > span.slots or reserve > span.columns:
            spare = 0 if self._rows[0].alone else self._policy.slots_for(reserve)
            self._cache.fit(max(rows, spare), self._policy.columns_for(reserve))
