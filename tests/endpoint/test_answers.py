"""Answers in other shapes than OpenAI's: what they become, and how often they are asked for."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from promptmill.endpoint.rows import MOST_TRIES
from promptmill.engine.contract import Completion, Request
from promptmill.errors import AccessDenied, NotFound
from tests.endpoint.asking import SERVED, all_of, engine_on, expected, requests, texts
from tests.endpoint.behaviours.contents import MISTRAL, Says
from tests.endpoint.behaviours.errors import ErrorIn200, ErrorInTheChoice, QuotaSpent, RefusesInput, ok
from tests.endpoint.server import Reply, WordServer

CHAT = replace(SERVED, api="chat")


def chats(count: int) -> list[Request]:
    """Requests of one message each."""
    return [
        replace(one, prompt=None, messages=({"role": "user", "content": str(one.prompt)},)) for one in requests(count)
    ]


def one_chat(server: WordServer, **options: Any) -> Completion:
    """The completion of a chat."""
    (completion,) = all_of(engine_on(server, served=CHAT, **options), chats(1))
    return completion


@pytest.mark.parametrize("code", [429, "429", 503, 529, "rate_limit_exceeded", "overloaded_error"])
def test_an_error_in_a_200_waits_if_its_code_says_so(server: WordServer, code: object) -> None:
    """However often: no row's tries are counted."""
    server.behave = ErrorIn200(code, times=12)
    asked = requests(4)
    assert texts(all_of(engine_on(server, concurrency=1), asked)) == expected(asked)


@pytest.mark.parametrize("kind", [ErrorIn200, ErrorInTheChoice])
@pytest.mark.parametrize("code", [400, 413, 422, "context_length_exceeded"])
def test_an_error_in_a_200_is_the_rows_if_its_code_says_so(
    server: WordServer, kind: type[ErrorIn200], code: object
) -> None:
    """It is asked once, and has the reason of the provider behind the server."""
    raw = json.dumps({"error": {"message": "maximum context length is 8"}})
    server.behave = kind(code, raw=raw, text="prompt 2")
    completions = all_of(engine_on(server), requests(5))
    assert [one.position for one in completions if one.error] == [2]
    assert "Provider returned error: maximum context length is 8" in str(completions[2].error)
    assert server.texts.count("prompt 2") == 1


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        (401, AccessDenied, 77),
        (402, AccessDenied, 77),
        (403, AccessDenied, 77),
        ("insufficient_quota", AccessDenied, 77),
        (404, NotFound, 66),
    ],
)
def test_an_error_in_a_200_ends_the_run_if_its_code_says_so(
    server: WordServer, code: object, kind: type[AccessDenied], exit_code: int
) -> None:
    """What finished before is handed over."""
    server.behave = ErrorIn200(code, text="prompt 5")
    done: list[Completion] = []
    with pytest.raises(kind, match="Provider returned error") as ended:
        done.extend(engine_on(server, concurrency=1).generate(requests(9), lambda: False))
    assert ended.value.exit_code == exit_code
    assert len(done) == 5


def test_an_error_in_a_200_without_a_code_is_tried_five_times(server: WordServer) -> None:
    """Nobody can tell whose it is."""
    server.behave = ErrorIn200(None, text="prompt 1")
    completions = all_of(engine_on(server), requests(4))
    assert [one.position for one in completions if one.error] == [1]
    assert server.texts.count("prompt 1") == MOST_TRIES


def test_moderation_refuses_a_row_and_not_the_run(server: WordServer) -> None:
    """403 that names the input: the others go on."""
    server.behave = RefusesInput("prompt 3")
    completions = all_of(engine_on(server), requests(6))
    assert [one.position for one in completions if one.error] == [3]
    assert "moderation refuses the prompt (HTTP 403: Input was flagged" in str(completions[3].error)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(402, b'{"error": {"message": "Insufficient credits"}}'), "credits at .* are used up"),
        (None, "credits at .* are used up.*exceeded your current quota"),
    ],
)
def test_spent_credits_end_the_run_and_are_no_wrong_key(server: WordServer, reply: Reply | None, says: str) -> None:
    """402, and 429 for `insufficient_quota`, which no waiting mends."""
    server.behave = (lambda asked: reply) if reply else QuotaSpent()
    with pytest.raises(AccessDenied, match=says) as ended:
        all_of(engine_on(server), requests(2))
    assert ended.value.exit_code == 77
    assert "look that the key is right" not in str(ended.value)


def test_content_in_parts_is_joined_and_thoughts_are_none_of_it(server: WordServer) -> None:
    """As Mistral's reasoning models have it."""
    server.behave = Says(MISTRAL)
    assert one_chat(server).response == "Hello, world"


@pytest.mark.parametrize(
    "content",
    [{"text": "no"}, 7, [{"type": "image_url", "image_url": "x"}], [7], True, [{"type": "text", "text": None}]],
)
def test_content_that_is_no_text_is_a_bad_answer(server: WordServer, content: object) -> None:
    """It is asked for again, and never an empty response."""
    server.behave = Says(content)
    completion = one_chat(server)
    assert completion.finish_reason == "error"
    assert f"tried {MOST_TRIES} times" in str(completion.error)


def test_a_choice_without_any_message_is_a_bad_answer(server: WordServer) -> None:
    """Nor is this an empty response."""
    server.behave = lambda asked: None if "lighthouse" in asked.text else ok(choices=[{"finish_reason": "stop"}])
    assert one_chat(server).finish_reason == "error"


@pytest.mark.parametrize(
    ("reason", "becomes"),
    [
        *((word, "stop") for word in ("end_turn", "STOP", "Stop", "eos", "EOS_TOKEN", "stop_sequence", "COMPLETE", "")),
        *((word, "length") for word in ("MAX_TOKENS", "max_tokens", "model_length", "LENGTH")),
        (None, "stop"),
        ({"type": "stop"}, "stop"),
    ],
)
def test_finish_reasons_in_any_words(server: WordServer, reason: object, becomes: str) -> None:
    """Of Anthropic, Google, Mistral, TGI and their gateways, in any case of letters; one request each."""
    server.behave = Says("hello", reason)
    completion = one_chat(server)
    assert (completion.response, completion.finish_reason) == ("hello", becomes)
    assert len(server.texts) == 1


def test_an_unknown_finish_reason_keeps_the_text_and_is_said_once(
    server: WordServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The row is paid for; whether it was cut is told by the count of its tokens."""
    server.behave = Says("hello", "tired", {"prompt_tokens": 3, "completion_tokens": 64})
    with caplog.at_level(logging.WARNING):
        completions = all_of(engine_on(server, served=CHAT), chats(12))
    assert {(one.response, one.finish_reason) for one in completions} == {("hello", "length")}
    assert len(server.texts) == 12
    assert sum("tired" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("reason", ["SAFETY", "content_filter", "RECITATION"])
def test_what_a_filter_held_back_is_the_rows_error(server: WordServer, reason: str) -> None:
    """Half a text is none."""
    server.behave = Says("half a", reason)
    completion = one_chat(server)
    assert completion.finish_reason == "error"
    assert len(server.texts) == 1


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": 3.0, "completion_tokens": 2.0},
        {"prompt_tokens": "3", "completion_tokens": "2"},
        {"prompt_tokens": 3, "completion_tokens": 0},
        {"prompt_tokens": -1, "completion_tokens": -1},
        [],
    ],
)
def test_usage_of_zeros_beside_a_text_or_of_floats_is_no_count(server: WordServer, usage: object) -> None:
    """Null, where no tokenizer counts."""
    server.behave = Says("hello world", "stop", usage)
    completion = one_chat(server)
    assert (completion.prompt_tokens, completion.completion_tokens) == (None, None)


def test_no_text_has_no_tokens(server: WordServer) -> None:
    """A zero beside nothing is a count."""
    server.behave = Says("", "stop", {"prompt_tokens": 3, "completion_tokens": 0})
    completion = one_chat(server)
    assert (completion.prompt_tokens, completion.completion_tokens) == (3, 0)


def test_an_answer_is_read_by_its_charset(server: WordServer) -> None:
    """Latin-1, if it says so."""
    body = '{"choices": [{"text": "Grüße", "finish_reason": "stop"}]}'.encode("latin-1")
    server.behave = lambda asked: Reply(200, body, {"Content-Type": "application/json; charset=iso-8859-1"})
    (completion,) = all_of(engine_on(server), requests(1))
    assert completion.response == "Grüße"
