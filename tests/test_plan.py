"""How rows are cut into shards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptmill.plan import MAX_SHARDS, cut, shard_count


@pytest.mark.parametrize(
    ("rows", "shards"),
    [
        (1, 1),
        (40, 1),
        (255, 1),
        (256, 2),
        (2_048, 16),
        (65_536, 16),
        (100_000, 24),
        (1_000_000, 244),
        (10**7, MAX_SHARDS),
        (10**9, MAX_SHARDS),
    ],
)
def test_the_number_of_shards_depends_on_the_rows_alone(rows: int, shards: int) -> None:
    """Few for small sets, bounded for huge ones: Luigi's scheduler is quadratic."""
    assert shard_count(rows) == shards


@given(prompts=st.integers(1, 5_000), samples=st.integers(1, 50))
def test_shards_cover_every_prompt_once(prompts: int, samples: int) -> None:
    """They follow each other without gaps, none is empty, and sizes differ by one prompt at most."""
    shards = cut(prompts, samples)
    assert [shard[0] for shard in shards] == [0, *(shard[1] for shard in shards[:-1])]
    assert shards[-1][1] == prompts
    sizes = {stop - start for start, stop in shards}
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
