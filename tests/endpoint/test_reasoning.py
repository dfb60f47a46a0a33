"""Models that think before they answer: a dataset of empty responses is announced before it is paid for."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from tests.endpoint.behaviours.contents import ThinksFirst
from tests.endpoint.producing import begun, produced, rows_of, sampled
from tests.endpoint.server import WordServer


@pytest.mark.parametrize("most", [64, 512])
def test_thoughts_that_eat_all_tokens_are_said_before_and_while(
    tmp_path: Path, server: WordServer, caplog: pytest.LogCaptureFixture, most: int
) -> None:
    """At the meeting, with what to raise and to how much; and once when many responses are empty."""
    server.behave = ThinksFirst(thoughts=200)
    run = begun(tmp_path, replace(sampled(max_new_tokens=most), endpoint_api="chat"), rows=40)
    with caplog.at_level(logging.WARNING):
        assert produced(run, server, concurrency=4)
    empty = rows_of(run)["response"].to_pylist().count("")
    said = [record.getMessage() for record in caplog.records]
    too_few = most < 200
    assert empty == (40 if too_few else 0)
    assert [f"--max-new-tokens {most} went into thoughts" in one for one in said] == ([True, False] if too_few else [])
    assert ["responses so far are empty" in one for one in said] == ([False, True] if too_few else [])


def test_seeds_are_tried_on_thoughts(tmp_path: Path, server: WordServer) -> None:
    """The trials are short, and all of their answers' text would be nothing."""
    server.behave = ThinksFirst(thoughts=200)
    run = begun(tmp_path, replace(sampled(max_new_tokens=512), endpoint_api="chat"))
    assert produced(run, server)
    assert '"seeds": "honoured"' in run.server.read_text()
