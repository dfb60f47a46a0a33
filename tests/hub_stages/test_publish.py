"""Publishing: exactly the right files, sent once, whatever happened before."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from promptmill.card.merging import marked
from promptmill.errors import ConfigurationError, StorageError
from promptmill.hub.marker import MARKER
from promptmill.hub.publish import Target
from promptmill.hub.publish import publish as publish_files
from tests.hub import Fault, LoseAnswer, Match, Status
from tests.hub_stages.kills import run_kills
from tests.hub_stages.operations import FINGERPRINT, INTERIM, publication_of
from tests.hub_stages.processes import FILE_BYTES, TOKEN, Client, data_of, data_on, make_folder

REPO = "alice/data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five files of 20 kB, which in commits of 50 kB take three commits."""
    return make_folder(tmp_path / "folder", 5)


def publish(client: Client, folder: Path, *options: object) -> int:
    """Publish and return the exit code."""
    return client.run("publish", folder, REPO, "--commit-bytes", 50_000, *options).code


@pytest.mark.parametrize("xet", [True, False], ids=["xet", "lfs"])
def test_publishing_twice_sends_once(client: Client, folder: Path, xet: bool) -> None:
    """By both ways the second run makes no commit and sends no content, and no second origin sees a token."""
    client = replace(client, xet=xet)
    first = client.run("publish", folder, REPO, "--commit-bytes", 50_000)
    assert first.result is not None, first.said
    hub, sent = client.hub, client.hub.uploaded()
    assert data_on(hub, REPO) == data_of(folder)
    assert (first.result["commits"], first.result["commit"]) == (3, hub.commits(REPO, kind="dataset")[0].oid)
    assert sent < 5 * FILE_BYTES + 2000
    again = client.run("publish", folder, REPO)
    assert again.result is not None, again.said
    assert (again.result["commits"], hub.uploaded()) == (0, sent)
    assert {r.authorization for r in hub.requests if r.origin == "hub"} == {f"Bearer {TOKEN}"}
    assert all(TOKEN not in (r.authorization or "") + r.path for r in hub.requests if r.origin != "hub")
    assert bool(xet) is any("/v1/xorbs/" in r.path for r in hub.requests)


def test_the_card_comes_last(client: Client, folder: Path) -> None:
    """Every commit before the last one says that the dataset is not complete, and carries our marker."""
    assert publish(client, folder) == 0
    last, *before = client.hub.commits(REPO, kind="dataset")
    assert b"\n# 5 files\n" in last.files["README.md"].content.read()
    interim = marked(INTERIM.decode()).encode()
    assert [commit.files["README.md"].content.read() for commit in before[:-1]] == [interim] * 2
    assert all(MARKER in commit.files for commit in before[:-1])


def test_a_small_dataset_is_one_commit(client: Client, folder: Path) -> None:
    """Data and card together: there is no moment at which it is half there."""
    assert publish(client, folder, "--commit-bytes", 1_000_000) == 0
    assert len(client.hub.commits(REPO, kind="dataset")) == 2


def test_shards_of_an_earlier_version_go_with_the_last_commit(client: Client, folder: Path) -> None:
    """What is in data/ and not in the dataset is removed; what a user added elsewhere stays."""
    assert publish(client, folder) == 0
    client.hub.commit(REPO, {"data/train-00000-of-00009.parquet": b"old", "NOTES.md": "mine"}, kind="dataset")
    assert publish(client, folder) == 0
    assert data_on(client.hub, REPO) == data_of(folder)
    assert client.hub.files(REPO, kind="dataset")["NOTES.md"] == b"mine"


def test_another_runs_dataset_is_not_overwritten_unless_told_to(client: Client, folder: Path, tmp_path: Path) -> None:
    """Nothing of it changes; with --overwrite it becomes exactly the new one."""
    assert publish(client, folder) == 0
    before = client.hub.commits(REPO, kind="dataset")[0].oid
    other = make_folder(tmp_path / "other", 2)
    refused = client.run("publish", other, REPO, "--fingerprint", "e" * 64)
    assert refused.code == 78
    assert "other settings" in refused.said
    assert client.hub.commits(REPO, kind="dataset")[0].oid == before
    assert client.run("publish", other, REPO, "--fingerprint", "e" * 64, "--overwrite").code == 0
    assert data_on(client.hub, REPO) == data_of(other)


def test_a_lost_answer_makes_no_second_commit(client: Client, folder: Path) -> None:
    """The repository is looked at before anything is sent again."""
    client.hub.fail(Fault(LoseAnswer(), Match("/commit/", "POST"), times=2))
    assert publish(client, folder) == 0
    assert len(client.hub.commits(REPO, kind="dataset")) == 1 + 3
    assert client.hub.uploaded() < 5 * FILE_BYTES + 2000


def test_a_corrupted_file_on_the_hub_is_replaced(client: Client, folder: Path) -> None:
    """Sizes and SHA-256 of what the Hub holds are compared with what it is to hold."""
    assert publish(client, folder) == 0
    name = next(iter(data_of(folder)))
    client.hub.commit(REPO, {name: b"x" * FILE_BYTES}, kind="dataset")
    assert publish(client, folder) == 0
    assert data_on(client.hub, REPO) == data_of(folder)


def test_a_damaged_file_on_disk_is_not_published(here: Client, folder: Path) -> None:
    """The manifest's digest is compared before anything is sent."""
    wanted = publication_of(folder)
    next(iter(wanted.files.values())).path.write_bytes(b"x" * FILE_BYTES)
    with pytest.raises(StorageError, match="is damaged"):
        publish_files(wanted, Target(REPO, FINGERPRINT), message="test")
    assert here.hub.uploaded() == 0


def test_too_much_at_once_is_sent_in_smaller_commits(client: Client, folder: Path) -> None:
    """413 halves what a commit brings."""
    client.hub.fail(Fault(Status(413), Match("/commit/", "POST"), times=2))
    assert publish(client, folder, "--commit-bytes", 1_000_000) == 0
    assert len(client.hub.commits(REPO, kind="dataset")) > 3


def test_a_private_repository_is_made_private(client: Client, folder: Path) -> None:
    """If it has to be made."""
    assert publish(client, folder, "--private") == 0
    assert client.hub.repo(REPO, kind="dataset").private


def test_nothing_is_sent_to_a_public_repository_that_was_to_be_private(here: Client, folder: Path) -> None:
    """It may have become public since it was looked at."""
    here.hub.add_dataset(REPO, {"README.md": "# Mine"})
    with pytest.raises(ConfigurationError, match="exists and is public"):
        publish_files(publication_of(folder), Target(REPO, FINGERPRINT, private=True), message="test")
    assert (here.hub.uploaded(), len(here.hub.commits(REPO, kind="dataset"))) == (0, 1)


def test_a_token_that_loses_its_rights_is_told_from_a_fault(client: Client, folder: Path) -> None:
    """hf_xet reports a failing storage for both; the Hub is asked which it is."""
    client.hub.fail(Fault(Status(401), Match("/xet-write-token"), times=None))
    client.hub.revoke(TOKEN, after=9)
    outcome = client.run("publish", folder, REPO)
    assert outcome.code == 77
    assert "invalid, expired or revoked" in outcome.said


@pytest.mark.parametrize("xet", [True, False], ids=["xet", "lfs"])
def test_random_kills_leave_exactly_the_right_files(xet: bool) -> None:
    """After restarts nothing is missing, doubled or announced too early; the long version is `kills.py`."""
    tally = run_kills(5, xet=xet)
    assert tally.sound, str(tally)


def test_the_way_of_the_first_upload_does_not_matter(client: Client, folder: Path, tmp_path: Path) -> None:
    """What came by LFS is not sent again by Xet, nor what came before a cache was lost."""
    lfs: Client = replace(client, xet=False)
    assert publish(lfs, folder) == 0
    sent = client.hub.uploaded()
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
    assert publish(client, folder) == 0
    assert client.hub.uploaded() == sent
