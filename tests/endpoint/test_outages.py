"""Servers that are away for a while: no row is given up for that."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import pytest

from promptmill.endpoint.faults import ServerGone
from promptmill.endpoint.rows import MOST_TRIES
from tests.endpoint.asking import SHORT, all_of, engine_on, expected, requests, texts
from tests.endpoint.behaviours.outages import BackendRestarts, LeaveMeAlone
from tests.endpoint.producing import begun, produced
from tests.endpoint.server import Asked, Reply, WordServer

QUICK = replace(SHORT, longest_rest=0.02, longest_try=0.05)


@pytest.mark.parametrize("status", [502, 504])
@pytest.mark.parametrize("after", [0, 10])
def test_an_outage_shorter_than_the_patience_costs_no_row(server: WordServer, status: int, after: int) -> None:
    """However often rows were tried meanwhile: none of them failed while the server worked for another."""
    server.behave = BackendRestarts(long=80, after=after, status=status)
    asked = requests(20)
    assert texts(all_of(engine_on(server, waits=QUICK), asked)) == expected(asked)


def test_rows_wait_while_a_server_fails_at_everything(server: WordServer) -> None:
    """Of a thousand rows a few are sent, and then trials alone, until one of them works."""
    server.behave = BackendRestarts(long=40)
    all_of(engine_on(server, waits=QUICK), requests(1000))
    trials = [asked for asked in server.asked[:40] if "lighthouse" in asked.text]
    assert len(trials) > 40 - 20


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


@pytest.mark.parametrize("after", [0, 6])
def test_a_day_of_retry_after_ends_the_run_at_once_with_75(server: WordServer, after: int) -> None:
    """It is longer than what is left of the patience: nothing is waited for, and what had finished is handed over."""
    server.behave = LeaveMeAlone(86400, after=after)
    done: list[object] = []
    says = r"left alone for 24.0 h .*--endpoint-patience 10 min is left.*daily limit"
    with pytest.raises(ServerGone, match=says) as gone:
        done.extend(engine_on(server, patience=600.0, concurrency=1).generate(requests(20), lambda: False))
    assert gone.value.exit_code == 75
    assert len(done) == after


def test_a_pause_within_the_patience_is_waited_for_and_said(
    server: WordServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, however many requests were turned away together."""
    server.behave = LeaveMeAlone(0.5, after=4, times=4)
    asked = requests(20)
    with caplog.at_level(logging.WARNING):
        done = all_of(engine_on(server, waits=replace(SHORT, word=0.3)), asked)
    assert texts(done) == expected(asked)
    assert sum("asks to be left alone" in record.getMessage() for record in caplog.records) == 1


def test_another_server_goes_on_while_one_is_to_be_left_alone(server: WordServer) -> None:
    """Only if all of them ask for a day does the run end."""
    with WordServer(LeaveMeAlone(86400)) as other:
        asked = requests(30)
        assert texts(all_of(engine_on(other, server), asked)) == expected(asked)


def test_retry_after_holds_from_the_first_request_on(tmp_path: Path, server: WordServer) -> None:
    """The trials ask no sooner, and a day ends the run before it has begun."""
    moments: list[float] = []

    def behave(asked: Asked) -> Reply | None:
        moments.append(time.monotonic())
        return Reply(429, b"{}", {"Retry-After": "0.6"}) if len(moments) == 1 else None

    server.behave = behave
    assert produced(begun(tmp_path), server)
    assert moments[1] - moments[0] >= 0.6
    server.behave = LeaveMeAlone("86400")
    (tmp_path / "other").mkdir()
    with pytest.raises(ServerGone, match=r"left alone for 24.0 h"):
        produced(begun(tmp_path / "other"), server, patience=600.0)
