"""What servers do wrong costs as few rows as possible, and never one without a word."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from promptmill.endpoint.faults import ServerGone
from promptmill.endpoint.rows import MOST_TRIES
from promptmill.engine.contract import Request
from promptmill.errors import AccessDenied, ConfigurationError, EngineError, NotFound
from tests.endpoint.asking import SERVED, SHORT, all_of, engine_on, expected, requests, texts
from tests.endpoint.server import Asked, Reply, WordServer

ROWS = 40


def error(status: int, message: str = "no", **headers: str) -> Reply:
    """An error as OpenAI's API has it."""
    return Reply(status, json.dumps({"error": {"message": message}}).encode(), headers)


def ok(**body: object) -> Reply:
    """An answer with status 200 and this body."""
    return Reply(body=json.dumps(body).encode())


PASSING = {
    "500": error(500),
    "502 with a page": Reply(502, b"<html>Bad gateway</html>"),
    "503": error(503),
    "429": error(429),
    "429 with Retry-After": error(429, **{"Retry-After": "0.05"}),
    "429 with a date": error(429, **{"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}),
    "200 with an error": ok(error={"message": "out of memory"}),
    "200 with an error as text": ok(error="out of memory"),
    "no choices": ok(choices=[]),
    "choices that are none": ok(choices="none"),
    "no text": ok(choices=[{"text": None, "finish_reason": None}]),
    "empty": Reply(body=b""),
    "garbage": Reply(body=b"\xff\xfe{'choices':"),
    "a list": Reply(body=b"[1, 2]"),
    "aborted": ok(choices=[{"text": "half a wo", "finish_reason": "abort"}]),
    "reset before the answer": Reply(cut=0),
    "reset in the headers": Reply(body=b"x" * 500, cut=30),
    "reset in the body": Reply(body=b"x" * 500, cut=300),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_costs_no_row(server: WordServer, name: str) -> None:
    """Every third request fails, no row's more than three times; each has its completion nonetheless, once."""
    failed: Counter[str] = Counter()

    def behave(asked: Asked) -> Reply | None:
        if asked.number % 3 or failed[asked.text] == 3:
            return None
        failed[asked.text] += 1
        return PASSING[name]

    server.behave = behave
    asked = requests(ROWS)
    assert texts(all_of(engine_on(server), asked)) == expected(asked)


@pytest.mark.parametrize("name", sorted(set(PASSING) - {"503", *(name for name in PASSING if "429" in name)}))
def test_a_row_that_the_server_always_fails_at_is_an_error_row(server: WordServer, name: str) -> None:
    """After five tries it is given up with the reason; the others are not disturbed."""
    server.behave = lambda asked: PASSING[name] if asked.text == "prompt 3" else None
    completions = all_of(engine_on(server), requests(ROWS))
    assert [completion.position for completion in completions if completion.finish_reason == "error"] == [3]
    assert f"tried {MOST_TRIES} times" in str(completions[3].error)
    assert completions[3].prompt_tokens is None
    assert server.texts.count("prompt 3") == MOST_TRIES


def test_a_request_that_hangs_is_cut_off_and_tried_again(server: WordServer) -> None:
    """A server that never answers some requests costs their timeout, not the run."""
    server.behave = lambda asked: Reply(hangs=True) if asked.number in (2, 5) else None
    asked = requests(8)
    assert texts(all_of(engine_on(server, timeout=0.3), asked)) == expected(asked)


def test_a_refused_prompt_is_an_error_row_at_once(server: WordServer) -> None:
    """Too long for the context, say: it is asked once, and says what the server said."""
    server.behave = lambda asked: error(400, "maximum context length is 8") if asked.text == "prompt 3" else None
    completions = all_of(engine_on(server), requests(ROWS))
    assert [completion.position for completion in completions if completion.finish_reason == "error"] == [3]
    assert completions[3].error == "the server refuses it (HTTP 400): maximum context length is 8"
    assert server.texts.count("prompt 3") == 1


def test_refused_rows_alone_are_error_rows_once_the_server_is_seen_to_work(server: WordServer) -> None:
    """A run that is left with rows that are too long comes to its end: a plain trial shows that they are at fault."""
    server.behave = lambda asked: None if "lighthouse" in asked.text else error(413, "too long")
    completions = all_of(engine_on(server), requests(3))
    assert [completion.finish_reason for completion in completions] == ["error"] * 3
    assert sum("lighthouse" in asked.text for asked in server.asked) == 1


def test_a_server_that_refuses_everything_makes_no_error_rows(server: WordServer) -> None:
    """It does not take the settings, so the run ends and says so."""
    server.behave = lambda asked: error(422, "unknown field: seed")
    done: list[object] = []
    with pytest.raises(EngineError, match=r"refuses even a short, plain request.*unknown field: seed"):
        done.extend(engine_on(server).generate(requests(ROWS), lambda: False))
    assert done == []


def test_a_server_that_fails_at_everything_makes_no_error_rows(server: WordServer) -> None:
    """Rows wait until patience ends, and are still to be made then."""
    server.behave = lambda asked: error(500, "CUDA error")
    done: list[object] = []
    with pytest.raises(ServerGone, match="CUDA error") as gone:
        done.extend(engine_on(server, patience=1.0).generate(requests(ROWS), lambda: False))
    assert done == []
    assert gone.value.exit_code == 75


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, AccessDenied, "--endpoint-key-env"),
        (403, AccessDenied, "--endpoint-key-env"),
        (402, AccessDenied, "pay first"),
        (404, NotFound, r"It has: words\. Choose one with --model"),
    ],
)
def test_what_no_retry_mends_ends_the_run(server: WordServer, status: int, kind: type[Exception], says: str) -> None:
    """Access, money, or a model that is not there; what had finished before is handed over."""
    server.behave = lambda asked: error(status, "pay first") if asked.number > 20 else None
    done = []
    with pytest.raises(kind, match=says):
        done.extend(engine_on(server, concurrency=1).generate(requests(ROWS), lambda: False))
    assert len(done) == 20


def test_a_wrong_key_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that quotes the key in its answer does not get it into our log."""
    monkeypatch.setenv("WORDS_KEY", "sk-wrong-secret")
    with WordServer(key="sk-right") as server:
        with pytest.raises(AccessDenied, match="Incorrect API key") as denied:
            all_of(engine_on(server, key_env="WORDS_KEY"), requests(1))
        assert "sk-wrong-secret" not in str(denied.value)
        monkeypatch.setenv("WORDS_KEY", "sk-right")
        assert len(all_of(engine_on(server, key_env="WORDS_KEY"), requests(3))) == 3


def test_a_server_that_dies_and_comes_back_costs_no_row(server: WordServer) -> None:
    """Rows under way are asked for again, and none is given up."""
    server.seconds = 0.02
    asked, done = requests(200), []
    for completion in engine_on(server, concurrency=16).generate(asked, lambda: False):
        done.append(completion)
        if len(done) in (30, 90):
            server.stop()
            threading.Timer(0.3, server.start).start()
    assert len(done) == 200
    assert texts(done) == expected(asked)


def test_a_server_that_stays_away_ends_the_run_with_75(server: WordServer) -> None:
    """After the patience that the user has; what had finished is handed over."""
    engine, done = engine_on(server, patience=0.5, concurrency=4), []
    with pytest.raises(ServerGone, match="--endpoint-patience"):
        for completion in engine.generate(requests(ROWS), lambda: False):
            done.append(completion)
            if len(done) == 10:
                server.stop()
    assert 10 <= len(done) <= 14


def test_patience_is_not_for_slow_answers(server: WordServer) -> None:
    """One fault does not end a run whose other answers only take their time."""
    server.seconds = 0.8
    server.behave = lambda asked: error(500) if asked.number == 2 else None
    assert len(all_of(engine_on(server, patience=0.2), requests(4))) == 4


def test_rows_go_to_every_server_that_answers(server: WordServer) -> None:
    """Of three one is not there: the others share the rows."""
    with WordServer() as other, WordServer() as gone:
        server.seconds = other.seconds = 0.01
        engine = engine_on(server, gone, other)
        gone.stop()
        asked = requests(100)
        assert texts(all_of(engine, asked)) == expected(asked)
        assert min(len(server.asked), len(other.asked)) > 20


def test_a_server_with_another_model_is_refused(server: WordServer) -> None:
    """A row of another model must not get in between, not even after a restart of the server."""
    server.root = "words-2"
    with pytest.raises(ConfigurationError, match=r"root: words-1 → words-2"):
        all_of(engine_on(server), requests(3))


def test_a_server_that_comes_back_with_another_model_is_refused(server: WordServer) -> None:
    """It is looked at again after it cut a connection."""
    server.behave = lambda asked: Reply(hangs=True) if asked.number == 10 else None
    done = []
    with pytest.raises(ConfigurationError, match=r"root: words-1 → words-2"):
        for completion in engine_on(server, concurrency=2).generate(requests(200), lambda: False):
            done.append(completion)
            if len(done) == 20:
                server.stop()
                server.root = "words-2"
                server.start()
    assert len(done) >= 20


def test_a_server_that_moved_is_found_in_the_file(server: WordServer, tmp_path: Path) -> None:
    """Slurm starts a server on another node: its job writes the new URL where the old one was."""
    place = tmp_path / "url"
    place.write_text(f"{server.url}\n")
    done = []
    server.seconds = 0.01
    with WordServer() as other:
        engine = engine_on(urls=(f"@{place}",), concurrency=2, waits=replace(SHORT, look=0.1))
        for completion in engine.generate(requests(60), lambda: False):
            done.append(completion)
            if len(done) == 20:
                server.stop()
                place.write_text(f"{other.url}\n")
        assert len(done) == 60
        assert other.texts


def test_trouble_is_told_once(server: WordServer, caplog: pytest.LogCaptureFixture) -> None:
    """And that it is over."""
    begun = time.monotonic()
    server.behave = lambda asked: error(503, "loading") if time.monotonic() < begun + 0.7 else None
    with caplog.at_level(logging.INFO):
        all_of(engine_on(server, waits=replace(SHORT, word=0.05)), requests(10))
    said = [record.getMessage() for record in caplog.records if record.name.startswith("promptmill.endpoint")]
    assert [text.split(" ")[0] for text in said] == ["No", "The"]
    assert "HTTP 503: loading" in said[0]


def test_told_to_stop_it_ends_soon_and_hands_over_what_finished(server: WordServer) -> None:
    """Without waiting for requests that never end; `should_stop` is asked while nothing arrives."""
    server.behave = lambda asked: Reply(hangs=True) if asked.number > 6 else None
    told = threading.Event()
    threading.Timer(0.5, told.set).start()
    done = list(engine_on(server).generate(requests(ROWS), told.is_set))
    assert len(done) == 6


def test_rows_are_taken_as_they_are_needed(server: WordServer) -> None:
    """A million rows are not put in flight, nor in memory: only as many are taken as the server may have."""
    taken = 0

    def endless() -> Iterator[Request]:
        nonlocal taken
        for place in range(1_000_000):
            taken += 1
            yield Request(place, place, prompt=f"prompt {place}")

    server.seconds = 0.005
    done: list[int] = []
    for completion in engine_on(server, concurrency=16).generate(endless(), lambda: len(done) >= 200):
        done.append(completion.position)
        assert taken - len(done) <= 18
    assert server.most_at_once <= 16


def test_no_row_is_begun_that_may_not_be(server: WordServer) -> None:
    """Those under way go on, then the iterator ends."""
    server.seconds = 0.2
    begun = lambda: len(server.texts) == 0  # noqa: E731
    done = list(engine_on(server).generate(requests(ROWS), lambda: False, begun))
    assert len(done) == len(server.texts)
    assert 0 < len(done) < ROWS


def test_a_row_tells_how_long_it_took(server: WordServer) -> None:
    """For the walltime: the seconds of its own request."""
    server.seconds = 0.2
    (completion,) = all_of(engine_on(server), requests(1))
    assert completion.seconds is not None
    assert 0.2 <= completion.seconds < 10


@pytest.mark.parametrize("usage", [True, False])
def test_tokens_are_those_of_the_server_or_nobodys(server: WordServer, usage: bool) -> None:
    """Where it does not count and no tokenizer is at hand, they are null."""
    server.usage = usage
    (completion,) = all_of(engine_on(server), requests(1))
    assert completion.response
    assert (completion.prompt_tokens, completion.completion_tokens) == (
        (2, len(completion.response.split())) if usage else (None, None)
    )


@pytest.mark.parametrize(
    ("told", "becomes"),
    [
        ({"finish_reason": "stop"}, "stop"),
        ({"finish_reason": "eos_token"}, "stop"),
        ({"finish_reason": "length"}, "length"),
        ({"finish_reason": None}, "stop"),
    ],
)
def test_finish_reasons_of_other_servers(server: WordServer, told: dict[str, object], becomes: str) -> None:
    """Each has its own words for the end of a text."""
    server.behave = lambda asked: ok(choices=[{"text": "hello", **told}])
    (completion,) = all_of(engine_on(server), requests(1))
    assert (completion.response, completion.finish_reason) == ("hello", becomes)


def test_what_a_filter_held_back_is_an_error_row(server: WordServer) -> None:
    """It is not the text that the model wrote."""
    held = ok(choices=[{"text": "", "finish_reason": "content_filter"}])
    server.behave = lambda asked: None if "lighthouse" in asked.text else held
    (completion,) = all_of(engine_on(server), requests(1))
    assert completion.finish_reason == "error"
    assert "filter" in str(completion.error)


def test_an_answer_of_thoughts_alone_is_an_empty_response(server: WordServer) -> None:
    """A model that reasons until it is cut off has written nothing."""
    message = {"role": "assistant", "content": None, "reasoning_content": "Hm."}
    server.behave = lambda asked: ok(choices=[{"message": message, "finish_reason": "length"}])
    engine = engine_on(server, served=replace(SERVED, api="chat"))
    (completion,) = all_of(
        engine, [replace(requests(1)[0], prompt=None, messages=({"role": "user", "content": "Hi"},))]
    )
    assert (completion.response, completion.finish_reason) == ("", "length")
