"""A dataset is said to be published after looking: gone, renamed, changed, another Hub, or one that is silent."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from promptmill.assemble import assemble
from promptmill.card import CardOptions
from promptmill.errors import ConfigurationError
from promptmill.generate import PromptForm, fill_shard, missing_requests
from promptmill.hub.looking import look, where_published
from promptmill.hub.patience import PUBLISHING
from promptmill.hub.publication import publish_run
from promptmill.hub.publish import Target
from promptmill.plan import recorded_manifest, shard_store, write_manifest
from promptmill.prompts import PromptOptions, prepare_prompts, read_prepared
from promptmill.run import RunFolder, recorded_identity
from tests.fakes import StubEngine, begun_run
from tests.hub import HubServer
from tests.hub_stages.processes import TOKEN, Client, data_of, data_on

REPO = "alice/data"
OPTIONS = CardOptions(REPO)
FILE = "data/train-00000-of-00001.parquet"


@pytest.fixture
def run(here: Client, tmp_path: Path) -> RunFolder:
    """A run of three rows that was published."""
    source = tmp_path / "prompts.txt"
    source.write_text("one\ntwo\nthree\n")
    run = begun_run(tmp_path / "data", source)
    write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), samples=1)
    store = shard_store(run, recorded_manifest(run), 0)
    form = PromptForm(chat=False, system_prompt=None, samples=1, run_seed=0)
    missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, 0, 3)))
    fill_shard(store, missing, StubEngine(), checkpoint_seconds=60, should_stop=lambda: False, on_row=lambda row: None)
    assemble(run, lambda run: None)
    publish(run)
    return run


def target(run: RunFolder, *, private: bool = False, overwrite: bool = False) -> Target:
    """Where the run is published."""
    return Target(REPO, recorded_identity(run).fingerprint, private=private, overwrite=overwrite)


def publish(run: RunFolder) -> None:
    """Publish it, once more perhaps."""
    publish_run(run, target(run), OPTIONS, PUBLISHING)


def test_what_is_there_is_published(here: Client, run: RunFolder) -> None:
    """Looking changes nothing; nor do commits beside the data, nor other words about another repository."""
    found = look(run, target(run), OPTIONS)
    assert (found.published, found.unseen) == (True, None)
    assert where_published(run, None).startswith(f"It is published at {here.hub.url}/datasets/{REPO}, commit ")
    assert not look(run, target(run), CardOptions(REPO, license="mit")).published
    here.hub.commit(REPO, {"NOTES.md": "mine"}, kind="dataset")
    assert look(run, target(run, overwrite=True), OPTIONS).published


def test_what_is_gone_is_published_again(here: Client, run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    """A file, or all of the repository."""
    repo = here.hub.repo(REPO, kind="dataset")
    repo.commit({path: file for path, file in repo.at().files.items() if path != FILE}, "oops")
    assert not look(run, target(run), OPTIONS).published
    assert f"{REPO} has no {FILE} any more; it is published again" in caplog.text
    publish(run)
    assert data_on(here.hub, REPO) == data_of(run.dataset)
    assert look(run, target(run), OPTIONS).published
    here.hub.delete(REPO, kind="dataset")
    assert not look(run, target(run, overwrite=True), OPTIONS).published
    assert "is not on the Hub any more" in caplog.text
    publish(run)
    assert data_on(here.hub, REPO) == data_of(run.dataset)


def test_what_somebody_changed_stays_unless_told_otherwise(
    here: Client, run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that was filtered on the Hub is not put back unasked, but it is said."""
    here.hub.commit(REPO, {FILE: b"filtered"}, kind="dataset")
    assert look(run, target(run), OPTIONS).published
    assert f"{FILE} of {REPO} was changed on the Hub" in caplog.text
    assert not look(run, target(run, overwrite=True), OPTIONS).published


def test_a_dataset_that_became_public_or_another_name_is_said(
    here: Client, run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """One that was to be private is an error; a renamed one is still published."""
    with pytest.raises(ConfigurationError, match="exists and is public"):
        look(run, target(run, private=True), OPTIONS)
    here.hub.rename(REPO, "alice/other", kind="dataset")
    assert look(run, target(run), OPTIONS).published
    assert f"The dataset {REPO} is called alice/other on the Hub" in caplog.text


def test_another_hub_is_another_place(here: Client, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published on one is not on the other."""
    with HubServer() as second:
        second.add_user("alice", token=TOKEN)
        monkeypatch.setattr(constants, "ENDPOINT", second.url)
        assert not look(run, target(run), OPTIONS).published


def test_a_hub_that_does_not_answer_is_not_believed_to_have_it(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was published then; nobody looked now, and why."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = look(run, target(run), OPTIONS)
    assert found.published
    assert found.unseen is not None
    assert "HF_HUB_OFFLINE is set" in found.unseen
    said = where_published(run, found.unseen)
    assert said.startswith("It was published at http")
    assert "; not looked at now: HF_HUB_OFFLINE" in said
