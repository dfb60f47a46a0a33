"""Rows as they are committed."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptmill.engine.contract import Completion, Request
from promptmill.rows import Row, repaired
from promptmill.shard import ShardStore


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("plain, ü, 😀", "plain, ü, 😀"),
        ("cut \ud83d", "cut �"),
        ("\ude00 \ud83d\ude00", "� 😀"),
        ("\udc80\ud83dx", "��x"),
    ],
)
def test_half_a_surrogate_pair_is_replaced(text: str, becomes: str) -> None:
    """An emoji that the limit of tokens cut; whole ones stay, and are joined."""
    assert repaired(text) == becomes


def test_a_row_with_half_an_emoji_loses_no_chunk(tmp_path: Path) -> None:
    """It is repaired where rows are made, for every engine; the error of a row as well."""
    rows = [
        Row.of(Request(0, 7, prompt="a"), Completion(0, "cut \ud83d", "length", 1, 1)),
        Row.of(Request(1, 8, prompt="b"), Completion(1, "", "error", None, 0, "said \udc00")),
        Row.of(Request(2, 9, prompt="c"), Completion(2, "whole", "stop", 1, 1)),
    ]
    store = ShardStore(tmp_path, 0, fingerprint="f", rows=3)
    store.commit(rows)
    table = store.read()
    assert table["response"].to_pylist() == ["cut �", "", "whole"]
    assert table["error"].to_pylist() == [None, "said �", None]
