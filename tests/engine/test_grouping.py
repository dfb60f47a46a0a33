"""Prompts are computed together where that is cheapest."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from promptmill.engine.grouping import prefill_groups
from promptmill.engine.policy import CPU_PASS_TOKENS, PREFILL_TOKENS
from promptmill.engine.rows import Row
from tests.engine.tiny import requests


def rows_of(widths: list[int], shared: int = 0) -> list[Row]:
    """A row each of which a pass has to compute so many tokens."""
    return [Row(requests(["x"])[0], [0] * (width + 1 + shared), limit=1, shared=shared) for width in widths]


def cost(groups: list[list[int]], pass_tokens: int) -> int:
    """Positions of all passes, and what a pass costs beside them."""
    return sum(len(group) * max(group) + pass_tokens for group in groups)


def all_groupings(widths: list[int]) -> Iterator[list[list[int]]]:
    """Every way to put rows into groups, whatever their order."""
    if not widths:
        yield []
        return
    for rest in all_groupings(widths[1:]):
        yield [[widths[0]], *rest]
        for place, group in enumerate(rest):
            yield [*rest[:place], [widths[0], *group], *rest[place + 1 :]]


@pytest.mark.parametrize("seed", range(20))
def test_no_other_grouping_is_cheaper(seed: int) -> None:
    """Compared with every other one that keeps to the bound; no row is lost or taken twice."""
    numbers = random.Random(seed)
    widths = [numbers.choice([0, 3, 9, 20, 24, 70, 300, 900, 1500]) for _ in range(7)]
    pass_tokens = numbers.choice([0, 1, 32, 256])
    groups = [[row.length - 1 for row in group] for group in prefill_groups(rows_of(widths), pass_tokens)]
    allowed = (
        grouping
        for grouping in all_groupings(widths)
        if all(len(group) == 1 or len(group) * (max(group) + 1) <= PREFILL_TOKENS for group in grouping)
    )
    assert sorted(width for group in groups for width in group) == sorted(widths)
    assert cost(groups, pass_tokens) == min(cost(grouping, pass_tokens) for grouping in allowed)


def test_rows_of_like_length_and_bounded_size() -> None:
    """The long are not padded for, and no group is larger than a pass may be unless it is a single row."""
    rows = rows_of([5000, 900, 880, 850, 300, 40, 38, 33, 1])
    groups = [[row.length - 1 for row in group] for group in prefill_groups(rows, CPU_PASS_TOKENS)]
    assert groups == [[5000], [900, 880], [850], [300], [40, 38, 33], [1]]


def test_what_all_have_in_common_does_not_count() -> None:
    """After a long common prefix, prompts of 8 and of 200 tokens more are not of like length."""
    rows = rows_of([200, 200, 8, 8, 8, 8], shared=400)
    assert [len(group) for group in prefill_groups(rows, CPU_PASS_TOKENS)] == [2, 4]


def test_what_all_have_in_common_takes_memory() -> None:
    """Each row of a group has a copy of it: a hundred short prompts after a long prefix are no single pass."""
    groups = prefill_groups(rows_of([8] * 100, shared=1000), CPU_PASS_TOKENS)
    assert [len(group) for group in groups] == [2] * 50


def test_no_rows_no_groups() -> None:
    """All rows that join may have been copied from others."""
    assert prefill_groups([], CPU_PASS_TOKENS) == []
