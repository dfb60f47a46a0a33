"""A dataset of many rows is made in little memory; `make chaos` does the same with a million."""

from __future__ import annotations

import pytest

from tests.chaos import memory


@pytest.mark.long
def test_a_hundred_thousand_rows_under_a_memory_limit() -> None:
    """Preparing, filling and assembling, each in 500 MB with all libraries loaded; no row is lost or doubled."""
    (result,) = memory.run(long=False)
    assert (result.rows, result.lost, result.doubled) == (100_000, 0, 0)
