"""Attention for one new token of each row, compiled by Numba for the processor at hand.

Imported only where Numba is installed. What is compiled is kept (`NUMBA_CACHE_DIR`, else beside this file, else in the
user's cache folder), so that only the first process on a kind of processor waits for it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic


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


# In this file, as it is compiled in: what is kept is made anew when this file changes, and by no other.
LAYOUT = np.dtype([(name, np.float32 if name == "scale" else np.int64) for name in AttentionWork._fields], align=True)
"""How it lies in memory."""

_float = np.float32
# All of LLVM's freedom but to assume that there is no NaN and no infinity.
_HOW: dict[str, Any] = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy", "cache": True}
_compiled = njit(nogil=True, **_HOW)

_HIDDEN = _float(-3e38)
"""The score of a masked column."""
_LEAST = _float(-87.0)
"""Below, the exponential is no normal number any more."""
# exp(x) = 2^n exp(y) with y = x - n log 2 and |y| <= log(2) / 2: as expf of the Cephes library (S. L. Moshier) has it.
# Log 2 comes in two parts, of which the first has so few bits that its multiples are exact.
_LOG2_E = _float(1.44269504088896341)
_LN_2_HIGH, _LN_2_LOW = _float(0.693359375), _float(-2.12194440e-4)
_P0, _P1, _P2 = _float(1.9875691500e-4), _float(1.3981999507e-3), _float(8.3334519073e-3)
_P3, _P4, _P5 = _float(4.1665795894e-2), _float(1.6666665459e-1), _float(5.0000001201e-1)
_ONE_BITS, _EXPONENT_BIT = np.int32(0x3F800000), np.int32(23)


@intrinsic
def _pointer(context, address):
    """The pointer to an address."""

    def generate(context, builder, signature, values):
        return builder.inttoptr(values[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


@intrinsic
def _take(context, counter, share):
    """Add `share` to a counter that threads have in common, and return what it was."""

    def generate(context, builder, signature, values):
        pointer = builder.bitcast(values[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, values[1], "monotonic")

    return types.int64(types.voidptr, types.int64), generate


@_compiled
def _first(visible):
    """The first column that a row sees."""
    for column in range(visible.size - 1):
        if visible[column]:
            return column
    return visible.size - 1


@_compiled
def _hide(scores, visible, first):
    for column in range(first, visible.size):
        if not visible[column]:
            scores[:, column] = _HIDDEN


@_compiled
def _score(scores, queries, keys, stride, first):
    """Products of all queries of a head with its keys from column `first` on."""
    group, size = queries.shape
    for column in range(first, scores.shape[1]):
        key = keys[column * stride : column * stride + size]
        for member in range(group):
            product = _float(0)
            for index in range(size):
                product += queries[member, index] * key[index]
            scores[member, column] = product


@_compiled
def _softmax(scores, first):
    """Softmax of each line from column `first` on, in place."""
    for member in range(scores.shape[0]):
        line = scores[member, first:]
        largest = _HIDDEN
        for column in range(line.size):
            largest = max(largest, line[column])
        total = _float(0)
        for column in range(line.size):
            x = line[column] - largest
            if x < _LEAST:  # not max(), which would lose a NaN
                x = _LEAST
            n = _float(math.floor(x * _LOG2_E + _float(0.5)))
            y = x - n * _LN_2_HIGH
            y = y - n * _LN_2_LOW
            p = ((((_P0 * y + _P1) * y + _P2) * y + _P3) * y + _P4) * y + _P5
            power_of_two = np.int32((np.int32(n) << _EXPONENT_BIT) + _ONE_BITS).view(np.float32)
            line[column] = (p * (y * y) + y + _float(1)) * power_of_two
            total += line[column]
        for column in range(line.size):
            line[column] /= total


@_compiled
def _sum(out, weights, values, stride, first):
    """Sums of a head's values, weighted; four columns at a time, so that the sums are read and written less often."""
    group, size = out.shape
    columns = weights.shape[1]
    out[:] = _float(0)
    column = first
    while column + 4 <= columns:
        value = values[column * stride :]
        one, two, three, four = value, value[stride:], value[2 * stride :], value[3 * stride :]
        for member in range(group):
            a, b, c, d = weights[member, column : column + 4]
            for index in range(size):
                out[member, index] += a * one[index] + b * two[index] + c * three[index] + d * four[index]
        column += 4
    for last in range(column, columns):
        value = values[last * stride :]
        for member in range(group):
            for index in range(size):
                out[member, index] += weights[member, last] * value[index]


@_compiled
def _memory(address, rows, heads, columns, row_stride, head_stride, column_stride, size):
    """What lies from `address` on, up to the last value of the last row: what comes behind is nobody's business."""
    last = (rows - 1) * row_stride + (heads - 1) * head_stride + (columns - 1) * column_stride
    return carray(_pointer(address), (last + size,), np.float32)


@cfunc(types.void(types.voidptr), **_HOW)
def attend(address):
    """Do an `AttentionWork`, or a part of it: any number of threads may share it.

    Args:
        address: where it lies, as `LAYOUT` has it.
    """
    work = carray(address, 1, LAYOUT)[0]
    rows, heads, columns = work.rows, work.heads, work.columns
    out = carray(_pointer(work.out), (rows * heads, work.group, work.value_size), np.float32)
    queries = carray(_pointer(work.queries), (rows * heads, work.group, work.size), np.float32)
    strides = work.key_row_stride, work.key_head_stride, work.key_column_stride
    keys = _memory(work.keys, rows, heads, columns, *strides, work.size)
    value_strides = work.value_row_stride, work.value_head_stride, work.value_column_stride
    values = _memory(work.values, rows, heads, columns, *value_strides, work.value_size)
    visible = carray(_pointer(work.visible), (rows, columns), np.bool_)
    scores, scaled = np.empty((work.group, columns), _float), np.empty((work.group, work.size), _float)
    start = _take(address, work.share)
    while start < rows * heads:
        for place in range(start, min(start + work.share, rows * heads)):
            row, head = place // heads, place % heads
            first = _first(visible[row])
            scaled[:] = queries[place] * work.scale
            _score(scores, scaled, keys[row * strides[0] + head * strides[1] :], strides[2], first)
            _hide(scores, visible[row], first)
            _softmax(scores, first)
            value = values[row * value_strides[0] + head * value_strides[1] :]
            _sum(out[place], scores, value, value_strides[2], first)
        start = _take(address, work.share)
