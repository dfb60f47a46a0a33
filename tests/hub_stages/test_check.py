"""CheckAuth: each no has its own words, its own exit code, and a way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from promptmill.errors import AccessDenied, ConfigurationError, HubUnavailable, NotFound, PromptmillError
from promptmill.hub.admission import Questions
from promptmill.hub.auth import Access, check_access
from promptmill.hub.claim import Claim
from promptmill.hub.marker import MARKER, marker_content
from promptmill.hub.patience import Patience
from tests.hub import HubServer
from tests.hub_stages.processes import TOKEN, Client

HASTE = Patience(total_seconds=3, request_seconds=1, connect_tries=2)
Case = tuple[Callable[[HubServer], object], str | None, str | None, type[PromptmillError], list[str]]


def _nothing(hub: HubServer) -> None:
    """No special arrangement."""


def _token(**options: object) -> Callable[[HubServer], object]:
    """Alice's token is of another kind."""
    return lambda hub: hub.add_user("alice", token=TOKEN, orgs={"lab": "write"}, **options)  # type: ignore[arg-type]


CASES: dict[str, Case] = {
    "not-granted": (_nothing, "meta/gated", None, AccessDenied, ["not been granted", "/meta/gated"]),
    "pending": (
        lambda hub: hub.repo("meta/gated").pending.add("alice"),
        "meta/gated",
        None,
        AccessDenied,
        ["pending", "not granted it"],
    ),
    "unknown-model": (_nothing, "lab/nothing", None, NotFound, ["has no model lab/nothing", "spelling"]),
    "model-is-dataset": (_nothing, "lab/foreign", None, ConfigurationError, ["is a dataset", "--prompts"]),
    "revoked": (lambda hub: hub.revoke(TOKEN), "gpt2", None, AccessDenied, ["invalid, expired or revoked"]),
    "read-only": (_token(role="read"), None, "alice/new", AccessDenied, ["read-only", "settings/tokens"]),
    "fine-grained": (
        _token(role="fineGrained", scopes=["alice/other"]),
        None,
        "alice/new",
        AccessDenied,
        ["fine-grained", "Add the permission for alice/new"],
    ),
    "malformed": (_nothing, None, "alice/a/b", ConfigurationError, ["'alice/a/b'", "OWNER/NAME"]),
    "no-owner": (_nothing, None, "mine", ConfigurationError, ["lacks an owner", "alice/mine"]),
    "organisation": (_nothing, None, "school/new", AccessDenied, ["may not write to school", "alice, lab"]),
    "stranger": (_nothing, None, "bob/new", AccessDenied, ["may not write to bob"]),
    "dataset-is-model": (_nothing, None, "lab/model", ConfigurationError, ["is a model on the Hub"]),
    "foreign": (_nothing, None, "lab/foreign", ConfigurationError, ["did not publish", "--overwrite"]),
    "letters-of-the-owner": (_nothing, None, "Alice/new", AccessDenied, ["Did you mean alice/new?"]),
    "mistyped-owner": (_nothing, None, "alcie/new", AccessDenied, ["Did you mean alice/new?"]),
}


@pytest.fixture
def full(here: Client) -> HubServer:
    """A hub with repositories of all kinds."""
    here.hub.add_model("gpt2", {"config.json": "{}"})
    here.hub.add_model("lab/model", {"config.json": "{}"})
    here.hub.add_model("meta/gated", {"config.json": "{}"}, gated="manual")
    here.hub.add_dataset("lab/foreign", {"data.csv": "a,b"})
    return here.hub


def refusal(model: str | None, publish_to: str | None) -> PromptmillError:
    """The error that the check ends with."""
    with pytest.raises(PromptmillError) as caught:
        check_access(model, publish_to, now=0.0, patience=HASTE)
    return caught.value


@pytest.mark.parametrize("name", CASES)
def test_each_no_says_what_to_do(full: HubServer, name: str) -> None:
    """Before anything is downloaded or queued, in a paragraph without the token."""
    arrange, model, publish_to, kind, words = CASES[name]
    arrange(full)
    error = refusal(model, publish_to)
    assert type(error) is kind, error
    assert all(word in str(error) for word in words), error
    assert len(str(error)) < 500
    assert TOKEN not in str(error)


def test_without_a_token_a_gated_model_names_page_and_login(full: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page to accept the terms on, and the command to log in with; publishing needs a login as well."""
    monkeypatch.delenv("HF_TOKEN")
    gated, publishing = refusal("meta/gated", None), refusal(None, "alice/new")
    assert isinstance(gated, AccessDenied)
    assert f"Accept its terms on {full.url}/meta/gated" in str(gated)
    assert "hf auth login" in str(gated)
    assert isinstance(publishing, AccessDenied)
    assert "needs a login with a write token" in str(publishing)


def test_yes_says_who_by_which_token(full: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """User, kind of token, its source and the organisations; never a part of the token."""
    access = check_access("gpt2", "lab/new", now=7.0)
    assert str(access.account) == ("alice, by a write token from HF_TOKEN; organisations: lab (write), school (read)")
    monkeypatch.delenv("HF_TOKEN")
    Path(constants.HF_TOKEN_PATH).parent.mkdir(exist_ok=True)
    Path(constants.HF_TOKEN_PATH).write_text(TOKEN)
    stored = check_access("gpt2", None, now=7.0)
    assert stored.account is not None
    assert stored.account.source == "the login stored by `hf auth login`"
    assert TOKEN[3:] not in json.dumps(asdict(access)) + json.dumps(asdict(stored))
    assert Access.from_json(asdict(access)) == replace(access)


def test_a_public_model_needs_no_token(full: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is asked where nothing is needed."""
    monkeypatch.delenv("HF_TOKEN")
    assert check_access("gpt2", None, now=0.0).account is None
    asked = len(full.requests)
    check_access(None, None, now=0.0)
    assert len(full.requests) == asked


def test_a_dataset_of_ours_may_be_written_again(full: HubServer) -> None:
    """It has our marker; others need --overwrite."""
    full.add_dataset("alice/ours", {MARKER: marker_content("f" * 64), "data/a.parquet": b"x"})
    assert check_access(None, "alice/ours", now=0.0).publish_to == "alice/ours"
    assert check_access(None, "lab/foreign", now=0.0, overwrite=True).publish_to == "lab/foreign"


def test_a_public_dataset_is_refused_where_a_private_one_was_asked_for(full: HubServer) -> None:
    """Before anything is generated, even where it may be overwritten; one that is private or not there yet is fine."""
    full.add_dataset("alice/public", {MARKER: marker_content("f" * 64)})
    full.add_dataset("alice/private", {MARKER: marker_content("f" * 64)}, private=True)
    for overwrite in (False, True):
        with pytest.raises(ConfigurationError, match=r"alice/public exists and is public.*/settings"):
            check_access(None, "alice/public", now=0.0, private=True, overwrite=overwrite)
    for repo in ("alice/private", "alice/new"):
        assert check_access(None, repo, now=0.0, private=True).private


ORIGIN = {
    "settings": {"model": "gpt2", "temperature": 0.7, "prompts_sha256": "a"},
    "prompts": {"rows": 300, "sha256": "three hundred"},
}


def published_from(full: HubServer, fingerprint: str = "e" * 64, **settings: object) -> None:
    """`alice/ours` was published from a run with these settings, and `ORIGIN` else."""
    origin = {**ORIGIN, "settings": {**ORIGIN["settings"], **settings}}
    full.add_dataset("alice/ours", {MARKER: marker_content(fingerprint, origin), "data/a.parquet": b"x"})


def test_another_runs_dataset_is_told_by_what_differs(full: HubServer) -> None:
    """Settings by name, prompts by their rows, before the run has a fingerprint."""
    published_from(full, model="gpt2-large", stop=["\n"])
    prepared = {**ORIGIN, "prompts": {"rows": 310, "sha256": "three hundred and ten"}}
    for first, same in (("three hundred", "the same"), ("others", "others")):
        with pytest.raises(ConfigurationError) as caught:
            check_access(None, "alice/ours", now=0.0, claim=Claim(None, prepared, lambda _, first=first: first))
        for words in (
            'its model: gpt2-large, yours gpt2; its stop: ["\\n"], yours not set',
            f"its prompts: 300 rows, yours 310; the first 300 are {same}",
            "--overwrite",
        ):
            assert words in str(caught.value)


def test_a_run_is_taken_for_another_only_if_something_differs(full: HubServer) -> None:
    """Prompts that are not prepared yet are no difference; a fingerprint that is another is one."""
    published_from(full)
    unprepared = {"settings": {**ORIGIN["settings"], "prompts_sha256": "b"}}
    for claim in (Claim(None, ORIGIN), Claim(None, unprepared), Claim("e" * 64, ORIGIN), Claim("e" * 64)):
        check_access(None, "alice/ours", now=0.0, claim=claim)
    with pytest.raises(ConfigurationError, match="other settings"):
        check_access(None, "alice/ours", now=0.0, claim=Claim("d" * 64, ORIGIN))


def test_overwriting_says_what_goes(full: HubServer, caplog: pytest.LogCaptureFixture) -> None:
    """How many files, the card, whose they are, and what stays."""
    published_from(full, temperature=0)
    full.commit("alice/ours", {"README.md": "# Mine", "NOTES.md": "mine"}, kind="dataset")
    check_access(None, "alice/ours", now=0.0, overwrite=True, claim=Claim(None, ORIGIN))
    check_access(None, "lab/foreign", now=0.0, overwrite=True)
    (said,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert "replaces in the dataset alice/ours: 1 file in data/ and the card README.md" in said
    assert "another run: its temperature: 0, yours 0.7). 1 other file stays." in said


def test_a_renamed_dataset_is_said_to_be(full: HubServer, caplog: pytest.LogCaptureFixture) -> None:
    """The Hub leads to it from its old name."""
    full.add_dataset("alice/old", {MARKER: marker_content("f" * 64)})
    full.rename("alice/old", "alice/new", kind="dataset")
    check_access(None, "alice/old", now=0.0)
    assert "The dataset alice/old is called alice/new on the Hub. Give --publish-to alice/new." in caplog.text


def test_no_answer_is_not_no_access(here: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreachable Hub and HF_HUB_OFFLINE name the command for the login node."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    unreachable = refusal("lab/model", None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = refusal("lab/model", None)
    command = "luigi --module workflows PrepareModel --model lab/model --local-scheduler"
    for error, word in ((unreachable, "does not answer"), (offline, "HF_HUB_OFFLINE is set")):
        assert isinstance(error, HubUnavailable)
        assert word in str(error)
        assert command in str(error)


def test_a_yes_is_believed_for_a_time(full: HubServer) -> None:
    """The same questions to the same Hub by the same login; older, or more, is asked again."""
    access = check_access("gpt2", "alice/new", now=100.0)
    questions = Questions("gpt2", "alice/new")

    def believed(asked: Questions, given: Access, now: float) -> bool:
        return asked.answered_by(given, max_age=3600, now=now)

    assert believed(questions, access, 3000.0)
    assert believed(Questions(None, None), access, 3000.0)
    assert not believed(questions, access, 3700.0)
    assert not believed(questions, access, 50.0)
    assert not believed(Questions("gpt2", "alice/other"), access, 3000.0)
    assert not believed(questions, replace(access, endpoint="http://another"), 3000.0)
    assert not believed(questions, replace(access, answered=False), 3000.0)
    assert not believed(replace(questions, private=True), access, 3000.0)
    assert believed(replace(questions, private=True), replace(access, private=True), 3000.0)
    assert not believed(questions, replace(access, overwrite=True), 3000.0)
    assert believed(replace(questions, overwrite=True), replace(access, overwrite=True), 3000.0)
