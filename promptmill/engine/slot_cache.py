"""A key-value cache whose rows come and go: allocated once, all rows ending at the same column.

    columns   0 . . first . . . . . . . . end . . .
    slot 0              [ k k k k k k k k |
    slot 1          [ k k k k k k k k k k |          next: every row's column `end`
    slot 2                        [ k k k |

A row lies in its slot without gaps and ends where all end. So a step writes one column, attends to
`first`..`end` through a view, and masks what lies left of a row as if it were left padding: any
attention that can do left-padded batches can do this, sliding windows and ALiBi included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

Entry = list[tuple[Tensor, Tensor]]
"""Keys and values of one row, a pair a layer, each [heads, positions, head size]."""


@dataclass
class Span:
    """Where the live rows lie; shared by all layers.

    Attributes:
        slots, columns: the size that is allocated.
        end: the column that is written next.
        starts: each live row's first column.
    """

    slots: int = 0
    columns: int = 0
    end: int = 0
    starts: list[int] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows are live; they are in the first slots."""
        return len(self.starts)

    @property
    def first(self) -> int:
        """The first column that any live row has."""
        return min(self.starts, default=self.end)


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer, each [slots, heads, columns, head size]."""

    is_sliding = False

    def __init__(self, span: Span) -> None:
        super().__init__()
        self.span = span
        self.keys: Tensor
        self.values: Tensor

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate, in the shape and on the device of what is to be kept."""
        self.keys, self.values = self._empty(key_states), self._empty(value_states)
        for whole in (self.keys, self.values):
            whole[: self.span.rows, :, : self.span.end] = 0
        self.is_initialized = True

    def _empty(self, like: Tensor) -> Tensor:
        return like.new_empty(self.span.slots, like.shape[1], self.span.columns, like.shape[3])

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write one column of all live rows; return views of all that they have."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, first, end = self.span.rows, self.span.first, self.span.end
        self.keys[:rows, :, end] = key_states[:, :, 0]
        self.values[:rows, :, end] = value_states[:, :, 0]
        return self.keys[:rows, :, first : end + 1], self.values[:rows, :, first : end + 1]

    def place(self, slot: int, keys: Tensor, values: Tensor) -> None:
        """Put a row's keys and values [heads, n, head size] into a slot, and clear what is left of them."""
        if not self.is_initialized:
            self.lazy_initialization(keys[None], values[None])
        end, start = self.span.end, self.span.end - keys.shape[1]
        for whole, part in ((self.keys, keys), (self.values, values)):
            whole[slot, :, start:end] = part
            whole[slot, :, :start] = 0  # masked, but a NaN left there would come through the mask

    def clear(self, slot: int) -> None:
        """Clear what is left of a row that has nothing to keep yet."""
        for whole in (self.keys, self.values):
            whole[slot, :, : self.span.end] = 0

    def read(self, slot: int, start: int, length: int) -> tuple[Tensor, Tensor]:
        """A view of a part of a slot, [heads, length, head size]."""
        part = slice(start, start + length)
        return self.keys[slot, :, part], self.values[slot, :, part]

    def move_row(self, source: int, target: int) -> None:
        """Copy a live row into another slot."""
        first, end = self.span.first, self.span.end
        for whole in (self.keys, self.values):
            whole[target, :, first:end] = whole[source, :, first:end]
            whole[target, :, :first] = 0

    def move_columns(self, end: int, *, anew: bool) -> None:
        """Move the live rows so that they end at column `end`; `anew` into a tensor of the span's size."""
        if self.is_initialized:
            self.keys = self._moved(self.keys, end, anew)
            self.values = self._moved(self.values, end, anew)

    def _moved(self, whole: Tensor, end: int, anew: bool) -> Tensor:
        rows, width = self.span.rows, self.span.end - self.span.first
        live = whole[:rows, :, self.span.first : self.span.end]
        target = self._empty(whole) if anew else whole
        if width:
            target[:rows, :, end - width : end] = live if anew else live.clone()
        target[:rows, :, : end - width] = 0
        return target

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of what attention sees."""
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """How many columns the longest live row has."""
        return self.span.end - self.span.first

    def get_max_length(self) -> int:
        """No maximum of its own: the columns are moved or grown in time."""
        return -1


class SlotCache(Cache):  # type: ignore[misc]
    """The layers of a model, and what is done to all of them."""

    def __init__(self, layers: int) -> None:
        self.span = Span()
        super().__init__(layers=[SlotLayer(self.span) for _ in range(layers)])

    def fit(self, slots: int, columns: int) -> None:
        """Allocate this size anew, with the live rows in it."""
        span = self.span
        span.slots, span.columns = slots, columns
        self._move(span.end - span.first, anew=True)

    def make_room(self, length: int) -> None:
        """Move the columns, if need be, so that rows of up to `length` can be placed, and one more written."""
        end = max(length, self.span.end - self.span.first)
        if self.span.end < length or self.span.end >= self.span.columns:
            self._move(end, anew=False)

    def open(self, lengths: list[int]) -> None:
        """Add rows of these lengths after the live ones; each has to be placed or copied before the next step."""
        self.make_room(max(lengths))
        self.span.starts += [self.span.end - length for length in lengths]

    def place(self, slot: int, entry: Entry) -> None:
        """Put a row into its slot; an empty entry is a row that has nothing to keep yet."""
        for number, layer in enumerate(self.layers):
            if entry:
                layer.place(slot, *entry[number])
            elif layer.is_initialized:
                layer.clear(slot)

    def copy(self, source: int, target: int) -> None:
        """Fill a slot with the first positions of another row, as many as the new row has."""
        start, length = self.span.starts[source], self.span.end - self.span.starts[target]
        for layer in self.layers:
            if length:
                layer.place(target, *layer.read(source, start, length))
            elif layer.is_initialized:
                layer.clear(target)

    def keep(self, order: list[int]) -> None:
        """Make live row `order[i]` row i."""
        for target, source in enumerate(order):
            if target != source:
                for layer in self.layers:
                    layer.move_row(source, target)
        self.span.starts = [self.span.starts[place] for place in order]

    def _move(self, end: int, *, anew: bool) -> None:
        for layer in self.layers:
            layer.move_columns(end, anew=anew)
        moved = end - self.span.end
        self.span.starts = [start + moved for start in self.span.starts]
        self.span.end = end
