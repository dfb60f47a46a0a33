"""Which prompts are computed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promptmill.engine.policy import PREFILL_TOKENS, SHARED_LEAST
from promptmill.engine.rows import Row


def prefill_groups(rows: Sequence[Row], pass_tokens: int) -> list[list[Row]]:
    """The cheapest groups of bounded size, padding included: of all ways to cut the rows, sorted by length, the best.

    Found by dynamic programming, longest first. What rows have in common costs nothing to compute, but each has
    a copy of it in the cache of its group, so it counts for the size. A row that is too long is a group by itself.

    Args:
        pass_tokens: what a pass costs beside the positions in it, counted in positions.
    """
    ordered = sorted(rows, key=lambda row: row.length, reverse=True)
    widths = [_width(row) for row in ordered]
    # Of the first so many rows: what they cost, and where their last group begins.
    best = [(0, 0)]
    for end in range(1, len(ordered) + 1):
        best.append(
            min(
                (best[start][0] + (end - start) * widths[start] + pass_tokens, start) for start in _starts(ordered, end)
            )
        )
    groups = []
    end = len(ordered)
    while end:
        start = best[end][1]
        groups.append(ordered[start:end])
        end = start
    return groups[::-1]


def _starts(rows: Sequence[Row], end: int) -> Iterator[int]:
    """Where a group may begin that ends before `end`; the further back, the larger it is."""
    yield end - 1
    for start in range(end - 2, -1, -1):
        if (end - start) * rows[start].length > PREFILL_TOKENS:
            return
        yield start


def _width(row: Row) -> int:
    """How many tokens of the row a pass computes: not its last, nor those that all have in common."""
    return max(0, row.length - 1 - (row.shared if row.shared >= SHARED_LEAST else 0))
