"""Bars of a histogram, from how often each length comes."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

MOST_BARS = 40
_STEPS = (1, 2, 5)
# A few very long texts would squeeze all others into one bar: those above are counted in the last one.
_SHOWN = 0.995


@dataclass(frozen=True)
class Bar:
    """`rows` texts of at least `start` and fewer than `stop` tokens."""

    reason: str
    start: int
    stop: int
    rows: int


@dataclass(frozen=True)
class Histogram:
    """Bars of equal width.

    Attributes:
        longest: of all; where it is beyond the last bar, that bar holds the longer ones too.
    """

    bars: tuple[Bar, ...]
    reasons: tuple[str, ...]
    longest: int

    def label(self, bar: Bar) -> str:
        """Which lengths a bar is about."""
        if self.longest >= bar.stop and bar.stop == max(other.stop for other in self.bars):
            return f"{bar.start:,} to {self.longest:,}"
        return f"{bar.start:,}" if bar.stop == bar.start + 1 else f"{bar.start:,} to {bar.stop - 1:,}"


def histogram(lengths: Mapping[str, Mapping[int, int]]) -> Histogram:
    """Bars of `{reason: {length: rows}}`, about forty of them."""
    together: Counter[int] = Counter()
    for counts in lengths.values():
        together.update(counts)
    if not together:
        return Histogram((), tuple(lengths), 0)
    longest, limit = max(together), quantile(together, _SHOWN)
    end = longest if longest <= 2 * limit else limit
    width = _width(end + 1)
    last = end // width
    bars = []
    for reason, counts in lengths.items():
        binned: Counter[int] = Counter()
        for length, rows in counts.items():
            binned[min(length // width, last)] += rows
        bars += [Bar(reason, index * width, (index + 1) * width, rows) for index, rows in sorted(binned.items())]
    # The most frequent first: it stands at the foot of the bars, where the eye compares best.
    reasons = sorted(lengths, key=lambda reason: -sum(lengths[reason].values()))
    return Histogram(tuple(bars), tuple(reasons), longest)


def quantile(counts: Mapping[int, int], part: float) -> int:
    """The length that so large a part of the texts does not exceed; 0 if there are none."""
    if not counts:
        return 0
    lengths = sorted(counts)
    ends = list(accumulate(counts[length] for length in lengths))
    return lengths[bisect_left(ends, part * ends[-1])]


def _width(span: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, … that needs no more than `MOST_BARS` bars."""
    power = 1
    while True:
        for step in _STEPS:
            if span <= step * power * MOST_BARS:
                return step * power
        power *= 10
