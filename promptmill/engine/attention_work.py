"""What compiled attention is told: the batch's sizes, and where in memory things lie."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class AttentionWork(NamedTuple):
    """One token of each row attends to all columns that the row sees.

    Strides are in values; the last dimension is contiguous everywhere.

    Attributes:
        taken: how many of the rows times `heads` threads have taken; 0 at the start.
        share: how many a thread takes at a time.
        rows, columns: the batch's.
        heads: of keys; each has `group` queries of `size` values, and values of `value_size`.
        out: address of float32 [rows, heads, group, value_size], contiguous; is filled.
        queries: address of float32 [rows, heads, group, size], contiguous.
        keys, values: address of float32 [rows, heads, columns, size or value_size].
        visible: address of bool [rows, columns], contiguous: which columns a row sees.
        scale: factor of all scores.
    """

    taken: int
    share: int
    rows: int
    heads: int
    group: int
    size: int
    value_size: int
    columns: int
    out: int
    queries: int
    keys: int
    key_row_stride: int
    key_head_stride: int
    key_column_stride: int
    values: int
    value_row_stride: int
    value_head_stride: int
    value_column_stride: int
    visible: int
    scale: float


LAYOUT = np.dtype([(name, np.float32 if name == "scale" else np.int64) for name in AttentionWork._fields], align=True)
"""How it lies in memory."""
