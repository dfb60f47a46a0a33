"""The first words with a server: what is found out, what is fixed, and what is refused."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptmill.cost import Price
from promptmill.endpoint.faults import ServerGone
from promptmill.endpoint.meeting import is_met, meet_server
from promptmill.endpoint.options import EndpointOptions
from promptmill.endpoint.record import recorded_served, require_same_model
from promptmill.endpoint.wire import about
from promptmill.errors import AccessDenied, ConfigurationError, NotFound
from promptmill.plan import recorded_manifest
from promptmill.run import RunFolder, recorded_identity
from promptmill.settings import RunSettings
from tests.endpoint.asking import SHORT
from tests.endpoint.producing import PLAIN, begun, sampled
from tests.endpoint.server import Reply, WordServer


def meet(
    folder: Path, server: WordServer, settings: RunSettings = PLAIN, *, messages: bool = False, **options: Any
) -> RunFolder:
    """Meet the server of a run."""
    run = begun(folder, settings, messages=messages)
    meet_server(run, recorded_manifest(run).prompts, EndpointOptions((server.url,), waits=SHORT, **options))
    return run


def test_the_identity_holds_what_the_server_says_of_the_model(tmp_path: Path, server: WordServer) -> None:
    """But not where the server is; revision, dtype and quantization are nobody's knowledge."""
    run = meet(tmp_path, server)
    identity = recorded_identity(run)
    assert identity.served == {"api": "completions", "about": {"root": "words-1"}}
    assert (identity.revision, identity.dtype, identity.quantization) == (None, None, None)
    assert not identity.chat
    assert is_met(run)
    assert "127.0.0.1" not in run.identity.read_text() + run.server.read_text() + run.record.read_text()


@pytest.mark.parametrize(
    ("settings", "messages", "api"),
    [
        (PLAIN, False, "completions"),
        (PLAIN, True, "chat"),
        (replace(PLAIN, system_prompt="Be brief."), False, "chat"),
        (replace(PLAIN, endpoint_api="chat"), False, "chat"),
        (replace(PLAIN, endpoint_api="completions"), False, "completions"),
    ],
)
def test_the_api_is_that_of_the_prompts(
    tmp_path: Path, server: WordServer, settings: RunSettings, messages: bool, api: str
) -> None:
    """Messages are a chat, text is gone on from, and --endpoint-api decides otherwise."""
    run = meet(tmp_path, server, settings, messages=messages)
    assert recorded_served(run).api == api
    assert recorded_identity(run).chat == (api == "chat")
    assert {asked.path for asked in server.asked} == {f"/v1/{'chat/' if api == 'chat' else ''}completions"}


def test_messages_cannot_be_completed(tmp_path: Path, server: WordServer) -> None:
    """The option is refused, not ignored."""
    with pytest.raises(ConfigurationError, match="--endpoint-api is completions"):
        meet(tmp_path, server, replace(PLAIN, endpoint_api="completions"), messages=True)


@pytest.mark.parametrize(
    ("seeds", "settings", "found"),
    [(True, PLAIN, "honoured"), (False, PLAIN, "ignored"), (True, sampled(temperature=0), "greedy")],
)
def test_what_becomes_of_seeds_is_tried(
    tmp_path: Path, server: WordServer, seeds: bool, settings: RunSettings, found: str
) -> None:
    """The same seed twice, then another; the card has the word."""
    server.seeds = seeds
    assert recorded_served(meet(tmp_path, server, settings)).seeds == found


def always(text: str) -> Reply:
    """The answer of a server that does not sample."""
    return Reply(body=json.dumps({"choices": [{"text": text, "finish_reason": "stop"}]}).encode())


def test_a_server_that_does_not_sample_is_refused(tmp_path: Path, server: WordServer) -> None:
    """The temperature would be accepted and ignored; greedy decoding is what it can do."""
    server.behave = lambda asked: always("yes")
    with pytest.raises(ConfigurationError, match=r"--temperature is 0.7, and the server .* does not sample"):
        meet(tmp_path, server)
    (tmp_path / "greedy").mkdir()
    meet(tmp_path / "greedy", server, sampled(temperature=0))


def test_seeds_of_a_server_that_is_sure_of_its_words_are_not_known(tmp_path: Path, server: WordServer) -> None:
    """At the run's own temperature every seed has the same text, which says nothing of seeds."""
    server.behave = lambda asked: always("yes") if asked.body["temperature"] < 1 else None
    assert recorded_served(meet(tmp_path, server)).seeds == "unknown"


@pytest.mark.parametrize(
    ("settings", "knob", "option"),
    [
        (sampled(top_k=5), "top_k", "--top-k"),
        (sampled(min_p=0.1), "min_p", "--min-p"),
        (sampled(repetition_penalty=1.2), "repetition_penalty", "--repetition-penalty"),
    ],
)
def test_a_setting_that_the_server_ignores_is_refused(
    tmp_path: Path, server: WordServer, settings: RunSettings, knob: str, option: str
) -> None:
    """What OpenAI's API has no name for is tried with extreme values; a server that heeds it is fine."""
    (tmp_path / "heeded").mkdir()
    meet(tmp_path / "heeded", server, settings)
    answer = server.answer
    server.answer = lambda asked: answer(  # type: ignore[method-assign]
        replace(asked, body={name: value for name, value in asked.body.items() if name != knob})
    )
    with pytest.raises(ConfigurationError, match=f"{option} is .* the server ignores it"):
        meet(tmp_path, server, settings)


def test_settings_that_the_server_does_not_take_are_refused_in_its_words(tmp_path: Path, server: WordServer) -> None:
    """Before any row is asked for."""
    told = Reply(400, json.dumps({"error": {"message": "temperature is 0 to 1"}}).encode())
    server.behave = lambda asked: told if asked.body["temperature"] > 1 else None
    with pytest.raises(ConfigurationError, match=r"does not take the run's settings.*temperature is 0 to 1") as refused:
        meet(tmp_path, server, sampled(temperature=1.5))
    assert refused.value.exit_code == 78


def test_a_model_that_the_server_has_not_is_named_with_those_that_it_has(tmp_path: Path, server: WordServer) -> None:
    """The names to choose from are in the message."""
    server.models = ("words", "sentences")
    with pytest.raises(NotFound, match=r"no model 'gpt2'.*It has: words, sentences"):
        meet(tmp_path, server, replace(PLAIN, model="gpt2"))


def test_a_server_that_wants_a_key_says_how_to_give_one(tmp_path: Path) -> None:
    """Without one, with a variable that is not set, and with the key in it."""
    with WordServer(key="sk-right") as server:
        with pytest.raises(AccessDenied, match="--endpoint-key-env"):
            meet(tmp_path, server)
        with pytest.raises(ConfigurationError, match="WORDS_KEY, and that environment variable is not set"):
            meet(tmp_path, server, key_env="WORDS_KEY")


def test_a_server_that_is_not_there_yet_is_waited_for(tmp_path: Path, server: WordServer) -> None:
    """Its job may still be loading the model; but not for ever."""
    server.stop()
    threading.Timer(0.5, server.start).start()
    meet(tmp_path, server, patience=60.0)
    server.stop()
    (tmp_path / "other").mkdir()
    with pytest.raises(ServerGone, match="--endpoint-patience"):
        meet(tmp_path / "other", server, patience=0.1)


def test_a_file_that_is_not_written_yet_is_waited_for(tmp_path: Path, server: WordServer) -> None:
    """The server's job may still be in the queue."""
    place = tmp_path / "url"
    run = begun(tmp_path, PLAIN)
    threading.Timer(0.5, lambda: place.write_text(server.url)).start()
    options = EndpointOptions((f"@{place}",), patience=60.0, waits=SHORT)
    assert meet_server(run, recorded_manifest(run).prompts, options).about == {"root": "words-1"}


def test_a_price_needs_somebody_who_counts(tmp_path: Path, server: WordServer) -> None:
    """A cost that is always zero would be worse than none."""
    server.usage = False
    with pytest.raises(ConfigurationError, match="--price-in"):
        meet(tmp_path, server, price=Price(1, 2))


def test_the_tokenizer_counts_where_the_server_does_not(tmp_path: Path, tiny_gpt2: Path) -> None:
    """If it is at hand: here the server's model is named by its folder."""
    with WordServer(usage=False, models=(str(tiny_gpt2),)) as server:
        run = meet(tmp_path, server, replace(PLAIN, model=str(tiny_gpt2)))
    assert recorded_served(run).counts == "tokenizer"


def test_servers_that_tell_less_are_no_others() -> None:
    """What only one of the two says is no difference; what both say is."""
    require_same_model("u", {"root": "a", "owned_by": "vllm"}, {"root": "a"})
    require_same_model("u", {}, {"root": "b"})
    with pytest.raises(ConfigurationError, match="root: a → b"):
        require_same_model("u", {"root": "a"}, {"root": "b"})


LOADED = {"id": "/models/a.gguf", "owned_by": "llamacpp", "meta": {"n_params": 7, "ftype": "Q4_1", "n_ctx": 512}}


@pytest.mark.parametrize(
    ("models", "found"),
    [
        ([LOADED], {"owned_by": "llamacpp", "n_params": 7, "ftype": "Q4_1"}),
        ([LOADED, {"id": "mine", "owned_by": "me"}], {"owned_by": "me"}),
        ([LOADED, LOADED], {}),
        ([{"id": "another", "owned_by": "them"}], {}),
    ],
)
def test_a_server_of_one_model_may_take_any_name(models: list[dict[str, Any]], found: dict[str, Any]) -> None:
    """What llama.cpp says of the model that it has loaded counts under every name; its context is of the place."""
    assert about({"data": models}, "mine") == found


@pytest.mark.parametrize(
    ("urls", "says"),
    [
        ((), "where the server is"),
        (("localhost:8000",), "not a URL"),
        (("ftp://node",), "not a URL"),
        (("http://node:port/v1",), "not a URL"),
        (("http://me:secret@node/v1",), "--endpoint-key-env"),
        (("http://node/v1?key=secret",), "--endpoint-key-env"),
        (("@here", "http://node/v1"), "not both"),
    ],
)
def test_urls_that_are_none(urls: tuple[str, ...], says: str) -> None:
    """The message shows one that is right, and never a password."""
    with pytest.raises(ConfigurationError, match=says) as refused:
        EndpointOptions(urls)
    assert "secret" not in str(refused.value)


def test_urls_in_a_file(tmp_path: Path) -> None:
    """One a line; each without a path gets the usual one."""
    place = tmp_path / "urls"
    place.write_text("http://n1:8000\nhttp://n2:8000/v1/\nhttps://host/openai/v1\n")
    options = EndpointOptions((f"@{place}",))
    assert options.bases() == ("http://n1:8000/v1", "http://n2:8000/v1", "https://host/openai/v1")
    place.write_text("")
    with pytest.raises(ConfigurationError, match="no URL yet"):
        options.bases()
    place.unlink()
    with pytest.raises(NotFound, match="No such file"):
        options.bases()
