"""Garbage is looked for seldom while much is imported, and as before afterwards."""

from __future__ import annotations

import gc

import pytest

from promptmill.collecting import few_collections


def test_fewer_and_then_as_before() -> None:
    """Objects that stay are not looked through time and again; also if what is imported fails."""
    before, runs = gc.get_threshold(), _runs()
    with pytest.raises(ImportError), few_collections():
        kept = [[] for _ in range(20 * before[0])]
        inside = _runs()
        raise ImportError
    assert inside == runs
    assert gc.get_threshold() == before
    assert len(kept) == 20 * before[0]


def test_garbage_is_found_all_the_same() -> None:
    """What would fill the memory is collected inside, too."""
    runs = _runs()
    with few_collections():
        kept = [[] for _ in range(150_000)]
    assert _runs() > runs
    assert kept


def _runs() -> int:
    return int(gc.get_stats()[0]["collections"])
