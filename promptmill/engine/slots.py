"""Slots: a batch that is kept full, as every row that ends makes room for the next at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from promptmill.engine.model import Forward
from promptmill.engine.policy import Policy, prefill_groups
from promptmill.engine.prefill import Prefill
from promptmill.engine.rows import Row
from promptmill.engine.slot_cache import Entry, SlotCache


class Slots:
    """Decodes on a `SlotCache`, in which rows of any age stand side by side."""

    name = "slots"
    refills = True
    even = False

    def __init__(self, forward: Forward, layers: int, policy: Policy) -> None:
        self._forward = forward
        self._layers = layers
        self._policy = policy
        self._prefill = Prefill(forward)
        self._cache = SlotCache(layers)
        self._rows: list[Row] = []

    def admit(self, rows: Sequence[Row]) -> None:
        """Compute the rows' tokens but the last, or copy them from a live row with the same prompt."""
        copies = self._copies(rows)
        self._grow([*self._rows, *rows])
        self._cache.make_room(max(row.length for row in rows) - 1)
        entries = {id(row): entry for row, entry in zip(rows, copies, strict=True) if entry is not None}
        self._compute([row for row in rows if id(row) not in entries], entries)
        for row in rows:
            self._cache.place(entries[id(row)], row.length - 1)
            self._rows.append(row)

    def forward(self, tokens: Sequence[int]) -> Tensor:
        """Feed one token a row; logits [rows, vocabulary]."""
        self._cache.make_room(0)
        span = self._cache.span
        ids, starts = torch.tensor([list(tokens), span.starts], device=self._forward.device)
        columns = torch.arange(span.first, span.end + 1, device=ids.device)
        mask = (columns >= starts[:, None]).long()
        logits: Tensor = self._forward(ids[:, None], mask, (span.end - starts)[:, None], self._cache).logits[:, -1]
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

    def _copies(self, rows: Sequence[Row]) -> list[Entry | None]:
        """What live rows have already computed: the samples of one prompt share its keys and values."""
        donors = {tuple(row.prompt): slot for slot, row in enumerate(self._rows)}
        slots = [None if row.generated else donors.get(tuple(row.prompt)) for row in rows]
        return [
            None if slot is None else self._cache.read(slot, len(row.prompt) - 1)
            for row, slot in zip(rows, slots, strict=True)
        ]

    def _compute(self, rows: Sequence[Row], entries: dict[int, Entry]) -> None:
        """Add the entries of `rows` to `entries`, each different sequence of tokens computed once."""
        unique = {tuple(row.tokens): row for row in rows}
        computed: dict[tuple[int, ...], Entry] = {}
        for group in prefill_groups(list(unique.values())):
            computed.update(zip((tuple(row.tokens) for row in group), self._prefill.compute(group), strict=True))
        entries.update({id(row): computed[tuple(row.tokens)] for row in rows})

    def _grow(self, rows: Sequence[Row]) -> None:
        """Have a cache in which the live and the new rows can be completed."""
        reserve = max(row.reserve for row in rows)
        span = self._cache.span
        if len(rows) > span.slots or reserve > span.columns:
            self._cache.fit(max(len(rows), self._policy.slots_for(reserve)), self._policy.columns_for(reserve))
