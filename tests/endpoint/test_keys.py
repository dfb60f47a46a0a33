"""The key goes to the server, and nowhere else."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from promptmill.endpoint.options import EndpointOptions
from promptmill.errors import ConfigurationError, PromptmillError
from tests.endpoint.asking import all_of, engine_on, requests
from tests.endpoint.behaviours.keys import replies_with
from tests.endpoint.server import Reply, WordServer
from tests.endpoint.test_meeting import meet

KEY = 'sk-7Zq"4vN/x+2Lw&9'
REPLIES = dict(replies_with(KEY))


def traces(said: str) -> list[str]:
    """Pieces of the key, of six characters and more, in a text."""
    return [KEY[at : at + 6] for at in range(len(KEY) - 5) if KEY[at : at + 6] in said]


@pytest.fixture
def key_env(monkeypatch: pytest.MonkeyPatch) -> str:
    """The variable that holds the key."""
    monkeypatch.setenv("WORDS_KEY", KEY)
    return "WORDS_KEY"


@pytest.mark.parametrize("name", REPLIES)
def test_the_key_is_in_no_row_no_log_and_no_message(
    server: WordServer, key_env: str, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Wherever the server puts it, however it writes it, and where it is cut off at 300 characters."""
    server.behave = lambda asked: None if "lighthouse" in asked.text else REPLIES[name]
    said: list[object] = []
    with caplog.at_level(logging.DEBUG, "promptmill"):
        try:
            said.extend(all_of(engine_on(server, key_env=key_env, patience=0.05), requests(2)))
        except PromptmillError as error:
            said.append(error)
    assert said
    assert traces(f"{said} {caplog.text}") == []
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {KEY}"}


def test_the_key_is_in_no_record_of_the_run(tmp_path: Path, key_env: str) -> None:
    """Not even if the server says that its model is called so."""
    with WordServer(key=KEY, root=f"/models/{KEY}") as server:
        run = meet(tmp_path, server, key_env=key_env)
    assert traces("".join(path.read_text() for path in run.path.glob("*.json"))) == []
    assert "…" in run.identity.read_text()


def test_a_word_that_stands_for_no_key_stays_in_a_text(server: WordServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that want none are given `ollama` or `EMPTY`, and responses may speak of ollama."""
    monkeypatch.setenv("WORDS_KEY", "ollama")
    body = {"choices": [{"text": "ollama runs models", "finish_reason": "stop"}]}
    server.behave = lambda asked: Reply(body=json.dumps(body).encode())
    (completion,) = all_of(engine_on(server, key_env="WORDS_KEY"), requests(1))
    assert completion.response == "ollama runs models"


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("sk-first\nsk-second", "a line end or another control character at character 9 of 18"),
        ("sk-\x00x", "a line end or another control character at character 4 of 5"),
        ("sk-clé-12345", "no character of ASCII at character 6 of 12"),
        ("sk-“quoted”", "no character of ASCII at character 4 of 11"),
    ],
)
def test_a_key_that_no_header_can_carry_is_refused(monkeypatch: pytest.MonkeyPatch, key: str, says: str) -> None:
    """Before anything is asked, and without showing it."""
    monkeypatch.setattr("os.environ", {"WORDS_KEY": key})
    with pytest.raises(ConfigurationError, match=says) as refused:
        EndpointOptions(("http://n:1",), key_env="WORDS_KEY").key()
    assert refused.value.exit_code == 78
    assert "sk-" not in str(refused.value)


def test_a_line_end_after_the_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`export KEY=$(cat file)` and a Slurm script's here-document leave one."""
    monkeypatch.setenv("WORDS_KEY", "sk-right\r\n")
    with WordServer(key="sk-right") as server:
        assert len(all_of(engine_on(server, key_env="WORDS_KEY"), requests(2))) == 2


def test_a_key_in_a_header_of_its_own(server: WordServer, key_env: str) -> None:
    """Azure and gateways of companies want `api-key`; there is no Authorization then."""
    all_of(engine_on(server, key_env=key_env, key_header="api-key"), requests(2))
    assert {asked.headers.get("api-key") for asked in server.asked} == {KEY}
    assert all("authorization" not in asked.headers for asked in server.asked)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"key_header": "api-key"}, "no key is named"),
        ({"key_header": "api key", "key_env": "K"}, "no header for a key"),
        ({"key_header": "api-key: x", "key_env": "K"}, "no header for a key"),
        ({"key_header": "Host", "key_env": "K"}, "no header for a key"),
        ({"key_header": "", "key_env": "K"}, "no header for a key"),
    ],
)
def test_headers_that_are_none_for_a_key(given: dict[str, str], says: str) -> None:
    """The message shows one that is."""
    with pytest.raises(ConfigurationError, match=says):
        EndpointOptions(("http://n:1",), **given)  # type: ignore[arg-type]
