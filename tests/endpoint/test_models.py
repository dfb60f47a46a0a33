"""The model behind the name: looked at again, and what the answers say of it is kept."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from promptmill.endpoint.record import recorded_served
from promptmill.errors import ConfigurationError
from promptmill.run import recorded_identity
from tests.endpoint.asking import SERVED, SHORT, engine_on, requests
from tests.endpoint.behaviours.models import Swaps, TellsOrigin
from tests.endpoint.producing import PLAIN, begun, produced
from tests.endpoint.server import WordServer


def test_a_model_that_changed_is_found_at_the_end(server: WordServer) -> None:
    """No connection was cut: all rows are handed over, and then the run ends with how many may be of the other."""
    server.behave = Swaps(server, after=8)
    done: list[object] = []
    with pytest.raises(ConfigurationError, match=r"root: words-1 → words-2\n.*last 30 completions") as ended:
        done.extend(engine_on(server, concurrency=1).generate(requests(30), lambda: False))
    assert len(done) == 30
    assert ended.value.exit_code == 78


def test_a_model_that_changed_is_found_while_rows_are_made(server: WordServer) -> None:
    """It is asked again every while; few rows are made of the other."""
    server.behave = Swaps(server, after=8)
    server.seconds = 0.02
    done: list[object] = []
    engine = engine_on(server, concurrency=1, waits=replace(SHORT, again=0.1))
    with pytest.raises(ConfigurationError, match=r"root: words-1 → words-2"):
        done.extend(engine.generate(requests(1000), lambda: False))
    assert 8 <= len(done) < 500


def test_what_answers_say_of_themselves_is_kept_and_said_where_it_differs(
    tmp_path: Path, server: WordServer, caplog: pytest.LogCaptureFixture
) -> None:
    """In the run's record and not in its identity; a change is said once, and is no error."""
    server.behave = TellsOrigin(until=12)
    run = begun(tmp_path, rows=30)
    with caplog.at_level(logging.WARNING):
        assert produced(run, server, concurrency=1)
    assert recorded_served(run).origin == {"model": "words-0613", "system_fingerprint": "fp_a"}
    assert recorded_identity(run).served == {"api": "completions", "about": {"root": "words-1"}}
    said = [record.getMessage() for record in caplog.records if "fp_b" in record.getMessage()]
    assert len(said) == 1
    assert "system_fingerprint fp_b; the first of the run had fp_a" in said[0]


def test_a_record_from_before_has_no_origin(server: WordServer) -> None:
    """Then the first answer is what others are compared with."""
    server.behave = TellsOrigin(until=1_000)
    assert SERVED.origin == {}
    assert len(list(engine_on(server).generate(requests(3), lambda: False))) == 3


def test_a_name_that_is_not_listed_is_said(
    tmp_path: Path, server: WordServer, caplog: pytest.LogCaptureFixture
) -> None:
    """llama.cpp and others answer to any name, with the model that they have."""
    server.any_name = True
    with caplog.at_level(logging.INFO):
        assert produced(begun(tmp_path, replace(PLAIN, model="gpt-9")), server)
    assert f"The server at {server.url} answers to gpt-9, and does not list it. It lists: words." in caplog.text
    assert "has gpt-9" not in caplog.text
