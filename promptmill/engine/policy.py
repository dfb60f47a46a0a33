"""The policy, in one place: which way to decode, how many rows at a time, and when to take new ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch

from promptmill.engine.rows import Row

CPU_SLOTS = 64
"""Measured: matrix products, and what a step costs whatever its rows, gain up to here; beyond, nothing does."""
CPU_BATCH = 32
"""Measured: in a larger static batch more is lost to padding, and to waiting for the longest row, than gained."""
DEVICE_SLOTS = 256
CPU_CACHE_BYTES = 4 * 2**30
CPU_POSITIONS = 64 * 1024
"""Positions in the cache where nothing is known of their size."""
FREE_SHARE = 0.7
"""Part of a device's free memory that the cache may take; the rest is for activations and logits."""
PREFILL_TOKENS = 2048
"""Positions of one forward pass over prompts, padding included: bounds the memory of activations."""
SLACK = 64
"""Columns beyond what the rows need, so that the cache's content moves once in so many steps."""
SHARED_LEAST = 8
"""A prefix that all prompts have in common is computed once if it has this many tokens."""
CPU_PASS_TOKENS = 32
"""What a forward pass costs beside the positions in it, counted in positions: measured 24 to 40."""
DEVICE_PASS_TOKENS = 256
"""The same on a GPU, which reads 16-bit weights in the time in which it computes some 200 positions."""
FEWEST_TOKENS = 64
"""New prompts wait for each other until they fill a matrix product of this many rows."""
CREEP_PASSES = 256
"""Forward passes without trouble after which a limit that memory imposed is raised again."""

logger = logging.getLogger(__name__)


@dataclass
class Policy:
    """How many rows may be under way.

    Attributes:
        slots: most rows in a forward pass.
        positions: most positions in the cache, rows times the longest row.
        limit: most rows at present: `slots`, or fewer for a while after memory ran out.
    """

    slots: int
    positions: int

    def __post_init__(self) -> None:
        self.limit = self.slots
        self._too_many = self.slots + 1
        self._calm = 0

    def fits(self, rows: Sequence[Row], row: Row) -> bool:
        """Whether `row` may join `rows`; an empty batch takes any."""
        if not rows:
            return True
        if row.alone or rows[0].alone:
            return False
        return len(rows) < self.slots_for(max(row.reserve, *(other.reserve for other in rows)))

    def slots_for(self, reserve: int) -> int:
        """How many rows of up to `reserve` positions fit."""
        return max(1, min(self.limit, self.positions // self.columns_for(reserve)))

    def columns_for(self, reserve: int) -> int:
        """How many columns a cache for rows of up to `reserve` positions has."""
        return -(-(reserve + SLACK) // SLACK) * SLACK

    def worth_while(self, live: int, new: Sequence[Row], more: bool) -> bool:
        """Whether to take `new` rows now: a slot that is free costs less than a tiny forward pass."""
        if not live or not more:
            return True
        return sum(row.length - row.shared for row in new) >= FEWEST_TOKENS or len(new) * 8 >= self.limit

    def out_of_memory(self, rows: int) -> None:
        """Halve the batch."""
        self.limit = max(1, rows // 2)
        self._too_many = rows
        self._calm = 0
        logger.warning("Out of memory with %d rows; going on with %d.", rows, self.limit)

    def out_of_memory_with_one(self) -> None:
        """Halve the room that is kept for rows; the one at hand is tried without any."""
        self.limit = max(1, self.limit // 2)
        self._calm = 0
        logger.warning("Out of memory with one row; it is tried once more, then up to %d go on.", self.limit)

    def given_up(self) -> None:
        """A row too large by itself was to blame for what others had to put up with."""
        self.limit = max(1, self.slots // 2)
        self._too_many = self.slots + 1

    def pass_worked(self) -> None:
        """After a while without trouble try more rows again: fast below what was too many, slowly above."""
        self._calm += 1
        if self.limit < self.slots and self._calm >= CREEP_PASSES:
            more = self.limit if 2 * self.limit < self._too_many else max(1, self.limit // 8)
            self.limit = min(self.slots, self.limit + more)
            self._calm = 0
            logger.info("%d forward passes without trouble; going on with up to %d rows.", CREEP_PASSES, self.limit)


def choose_slots(device: torch.device, batch_size: int | None, *, refills: bool = True) -> int:
    """The rows asked for, or measured before; else what suits the kind of device and the way of decoding."""
    if batch_size is not None:
        return batch_size
    if device.type == "cpu":
        return CPU_SLOTS if refills else CPU_BATCH
    return DEVICE_SLOTS


def choose_positions(position_bytes: dict[torch.device, int]) -> int:
    """How many positions the cache may hold, from the bytes that one takes on each device."""
    return min((_cache_bytes(device) // size for device, size in position_bytes.items() if size), default=CPU_POSITIONS)


def _cache_bytes(device: torch.device) -> int:
    if device.type != "cuda":
        return min(CPU_CACHE_BYTES, psutil.virtual_memory().available // 2)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int((torch.cuda.mem_get_info(device)[0] + unused) * FREE_SHARE)
