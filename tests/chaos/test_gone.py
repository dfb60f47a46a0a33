"""A file of a run that is gone or foreign: a dataset has rows of one setting, and what people put there stays."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from promptmill.errors import ConfigurationError
from promptmill.files import read_json, write_json
from promptmill.rendering import Rendering
from promptmill.run import Identity
from tests.chaos.small_run import PROMPTS, SmallRun, lose_a_shard

RECORDS = ("run.json", "identity.json", "model.json", "prompts.json", "placement-cpu.json", "shards/00000.json")


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory, tiny_gpt2: Path) -> SmallRun:
    """A run whose first shard is there."""
    run = SmallRun(tmp_path_factory.mktemp("half"), tiny_gpt2)
    run.live()
    lose_a_shard(run.run)
    return run


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny_gpt2: Path) -> SmallRun:
    """The run with its dataset."""
    run = SmallRun(tmp_path_factory.mktemp("done"), tiny_gpt2)
    run.live()
    return run


def _files(small: SmallRun) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in small.run.path.rglob("*") if path.is_file()}


def _fingerprints(small: SmallRun) -> set[bytes]:
    chunks = small.run.shards.glob("*/chunk-*.parquet")
    return {pq.read_schema(chunk).metadata[b"fingerprint"] for chunk in chunks}


@pytest.mark.parametrize("gone", RECORDS)
def test_the_same_settings_go_on_without_a_file_and_others_never_do(
    gone: str, half: SmallRun, done: SmallRun, tiny_gpt2: Path, tmp_path: Path
) -> None:
    """Each record of the run, with the settings that it was begun with, and with others."""
    same = half.copied(tmp_path)
    (same.run.path / gone).unlink()
    before = _files(same)
    code, said = SmallRun(tmp_path, tiny_gpt2, seed=1).attempt()
    assert code == ConfigurationError.exit_code, said
    assert "--name" in "\n".join(said)
    assert _files(same) == before
    assert len(same.live()) == PROMPTS // 2, "the rows that are there are not made again"
    assert same.dataset() == done.dataset()
    assert len(_fingerprints(same)) == 1


@pytest.mark.parametrize("also", ["identity.json", "shards/*/*"])
def test_rows_or_an_identity_of_lost_settings_are_refused(also: str, half: SmallRun, tmp_path: Path) -> None:
    """Without `run.json` and what could tell of which settings the rest is, nothing is guessed or touched."""
    small = half.copied(tmp_path)
    for path in [small.run.record, *small.run.path.glob(also)]:
        path.unlink()
    if also != "identity.json":
        # An identity that these settings do not come to.
        identity = read_json(small.run.identity)
        write_json(small.run.identity, {**identity, "fingerprint": "0" * 64})
    before = _files(small)
    code, said = small.attempt()
    assert code == ConfigurationError.exit_code
    assert "run.json is gone" in "\n".join(said)
    assert _files(small) == before


def test_what_was_prepared_for_lost_settings_is_not_used(half: SmallRun, tiny_gpt2: Path, tmp_path: Path) -> None:
    """No rows, no identity: prompts and model of nobody knows which settings are set aside and made anew."""
    small = half.copied(tmp_path)
    shutil.rmtree(small.run.shards)
    for path in (small.run.record, small.run.identity):
        path.unlink()
    other = SmallRun(tmp_path, tiny_gpt2, verb="Sing")
    assert len(other.live()) == PROMPTS
    assert pq.read_table(other.run.prompts_table)["prompt"][0].as_py() == "Sing 0"
    aside = sorted(path.name.split(".corrupt")[0] for path in small.run.path.glob("*.corrupt-*"))
    assert aside == ["model.json", "placement-cpu.json", "prompts.json"]


def test_settings_of_another_run_are_not_taken_for_those_of_the_rows(
    half: SmallRun, tiny_gpt2: Path, tmp_path: Path
) -> None:
    """Its `run.json` was put into this run's folder."""
    other = SmallRun(tmp_path / "other", tiny_gpt2, seed=1)
    other.live()
    small = half.copied(tmp_path / "run")
    shutil.copy(other.run.record, small.run.record)
    before = _files(small)
    code, said = SmallRun(tmp_path / "run", tiny_gpt2, seed=1).attempt()
    assert code == ConfigurationError.exit_code
    assert "not those that the rows" in "\n".join(said)
    assert _files(small) == before


@pytest.mark.parametrize("gone", ["model.json", "prompts.json"])
def test_a_model_or_prompts_that_have_moved_do_not_slip_in_where_the_record_is_gone(
    gone: str, half: SmallRun, tmp_path: Path
) -> None:
    """What the identity says holds: the record is made anew only from the same bytes."""
    small = half.copied(tmp_path)
    key = {"model.json": "revision", "prompts.json": "prompts"}[gone]
    (small.run.path / gone).unlink()
    identity = read_json(small.run.identity)
    # As if the run had been begun when the model or the prompts were others.
    moved = {**identity, key: "0" * 40}
    for name in ("fingerprint", "checksum"):
        moved.pop(name, None)
    right = Identity.of(small.run.settings, **{**moved, "rendering": Rendering.from_json(moved["rendering"])})
    write_json(small.run.identity, {**moved, "fingerprint": right.fingerprint})
    code, said = small.attempt()
    assert code == ConfigurationError.exit_code
    assert "begun with" in "\n".join(said)
    assert not (small.run.path / gone).exists()


def test_what_a_person_put_into_the_dataset_is_kept(done: SmallRun, tmp_path: Path) -> None:
    """Notes in the card, a filtered file and a file of their own lie in a folder beside it; a LICENSE stays."""
    small = done.copied(tmp_path)
    folder = small.run.dataset
    mine = {"README.md": b"# My notes", "data/train-00000-of-00002.parquet": b"filtered", "data/mine.csv": b"a,b"}
    for name, content in {**mine, "LICENSE": b"MIT"}.items():
        (folder / name).write_bytes(content)
    assert small.live() == []
    expected = done.dataset()
    assert small.dataset() == {**expected, "dataset/LICENSE": b"MIT"}
    kept = {path.name: path.read_bytes() for path in (small.run.path / "set-aside").iterdir()}
    assert kept == {Path(name).name: content for name, content in mine.items()}
    for name in mine:
        assert any(Path(name).name in line and "set-aside" in line for line in small.said), name
    # Once more: the second notes do not replace the first.
    (folder / "README.md").write_bytes(b"# More notes")
    small.live()
    notes = sorted(path.read_bytes() for path in (small.run.path / "set-aside").glob("README*"))
    assert notes == [b"# More notes", b"# My notes"]
