"""What a process says about how far it is."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from promptmill.files import read_json
from promptmill.progress import LOG_SECONDS, Progress
from promptmill.rows import Row


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def row(tokens: int) -> Row:
    """A finished row with so many tokens."""
    return Row(0, "", "stop", 1, tokens, 0, None)


def test_without_a_terminal_a_plain_line_comes_every_30_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows done of all, tokens a second, and the time that is left."""
    clock = Clock()
    with (
        caplog.at_level(logging.INFO),
        Progress(tmp_path / "p.json", "shard 1 of 2", total=8, done=2, clock=clock) as p,
    ):
        clock.now = LOG_SECONDS - 1
        p.add(row(90))
        clock.now = LOG_SECONDS
        p.add(row(60))
    assert caplog.messages == [
        "Going on: 2 of 8 rows were already done.",
        "Shard 1 of 2: 4 of 8 rows (50 %), 5 tokens/s, about 60 s left",
        "Shard 1 of 2: 4 of 8 rows (50 %), 5 tokens/s, about 60 s left",
    ]


def test_the_file_tells_others_how_it_goes(tmp_path: Path) -> None:
    """Rows, tokens and rate of this process alone."""
    clock = Clock()
    with Progress(tmp_path / "p.json", "shard 1 of 2", total=8, done=2, clock=clock) as progress:
        begun = read_json(tmp_path / "p.json")
        assert begun is not None, "who has just begun is seen too"
        assert (begun["doing"], begun["rows"]) == ("shard 1 of 2", 0)
        clock.now = 10
        progress.add(row(50))
    found = read_json(tmp_path / "p.json")
    assert found is not None
    assert (found["rows"], found["tokens"], found["tokens_per_second"]) == (1, 50, 5.0)
