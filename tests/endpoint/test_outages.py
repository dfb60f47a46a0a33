"""Servers that are away for a while: no row is given up for that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from promptmill.endpoint.rows import MOST_TRIES
from tests.endpoint.asking import SHORT, all_of, engine_on, expected, requests, texts
from tests.endpoint.behaviours.outages import BackendRestarts
from tests.endpoint.server import Asked, Reply, WordServer

QUICK = replace(SHORT, longest_rest=0.02, longest_try=0.05)


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize("after", [0, 10])
def test_an_outage_shorter_than_the_patience_costs_no_row(server: WordServer, status: int, after: int) -> None:
    """However often rows were tried meanwhile: none of them failed while the server worked for another."""
    server.behave = BackendRestarts(long=80, after=after, status=status)
    asked = requests(20)
    assert texts(all_of(engine_on(server, waits=QUICK), asked)) == expected(asked)


def test_rows_wait_while_a_server_fails_at_everything(server: WordServer) -> None:
    """Of a thousand rows a few are sent, and then trials alone, until one of them works."""
    server.behave = BackendRestarts(long=60)
    all_of(engine_on(server, waits=QUICK), requests(1000))
    trials = [asked for asked in server.asked[:60] if "lighthouse" in asked.text]
    assert len(trials) > 60 - 20


def test_a_row_alone_is_given_up_if_the_server_works_for_something_else(server: WordServer) -> None:
    """No other row is there to tell: something short and plain is asked for between its tries."""
    server.behave = lambda asked: None if "lighthouse" in asked.text else Reply(500)
    (completion,) = all_of(engine_on(server), requests(1))
    assert f"tried {MOST_TRIES} times" in str(completion.error)
    assert ["lighthouse" in asked.text for asked in server.asked] == [False, True] * MOST_TRIES


def test_a_row_is_not_judged_by_the_failures_of_another_server(server: WordServer) -> None:
    """One of two fails at everything; the other works, and has every row in the end."""

    def fails(asked: Asked) -> Reply:
        return Reply(502, b"<html>")

    with WordServer(fails) as broken:
        asked = requests(40)
        assert texts(all_of(engine_on(broken, server, waits=QUICK), asked)) == expected(asked)
