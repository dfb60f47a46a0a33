"""A finished dataset is compared with its digests, and a file is read again only if it changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from promptmill.assemble import assemble, recorded_dataset
from promptmill.generate import PromptForm, fill_shard, missing_requests
from promptmill.mending import mend
from promptmill.plan import recorded_manifest, shard_store, write_manifest
from promptmill.prompts import PromptOptions, prepare_prompts, read_prepared
from promptmill.report.attempt import have_report, verdict_on
from promptmill.run import RunFolder
from tests.fakes import StubEngine, begun_run

FILE = "data/train-00000-of-00001.parquet"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of three rows whose dataset is complete."""
    source = tmp_path / "prompts.txt"
    source.write_text("one\ntwo\nthree\n")
    prepared = prepare_prompts(PromptOptions(str(source)), RunFolder.named(tmp_path / "data", "stub").prompts_table)
    run = begun_run(tmp_path / "data", source, digest=prepared.sha256)
    write_manifest(run, prepared, samples=1)
    store = shard_store(run, recorded_manifest(run), 0)
    form = PromptForm(chat=False, system_prompt=None, samples=1, run_seed=0)
    missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, 0, 3)))
    fill_shard(store, missing, StubEngine(), checkpoint_seconds=60, should_stop=lambda: False, on_row=lambda row: None)
    assemble(run, lambda run: None)
    return run


def flip(path: Path) -> bytes:
    """Change a byte of a file, as a bad disk does, but with the time of the change; returns what it held."""
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000))
    return content


@pytest.mark.parametrize("name", [FILE, "README.md"])
def test_a_file_that_changed_is_set_aside_and_made_again(
    run: RunFolder, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In the same bytes, though its length is right; what was there is kept and named."""
    path = run.dataset / name
    whole = flip(path)
    changed = path.read_bytes()
    mend(run)
    assert recorded_dataset(run) is None
    assert f"{path} is not the file that dataset.json lists" in caplog.text
    assemble(run, lambda run: None)
    assert path.read_bytes() == whole
    assert (run.kept / path.name).read_bytes() == changed
    assert recorded_dataset(run) is not None


def test_what_nobody_touched_is_not_read(run: RunFolder) -> None:
    """A change that keeps size and time is not looked for: not until the note of the last look is gone."""
    path = run.dataset / FILE
    time = path.stat().st_mtime_ns
    flip(path)
    os.utime(path, ns=(time, time))
    mend(run)
    assert recorded_dataset(run) is not None
    (run.path / "dataset-seen.json").unlink()
    mend(run)
    assert recorded_dataset(run) is None


def test_a_dataset_of_an_earlier_version_is_looked_at_once(run: RunFolder) -> None:
    """It has no note of a look; afterwards it has the one that this version makes."""
    note = run.path / "dataset-seen.json"
    made = note.read_bytes()
    note.unlink()
    os.utime(run.dataset / "README.md", ns=(5, (run.dataset / "README.md").stat().st_mtime_ns))
    mend(run)
    assert note.read_bytes() == made
    assert recorded_dataset(run) is not None


def test_a_report_that_is_missing_is_written_again(run: RunFolder) -> None:
    """And one that is there is left alone; the dataset is not touched."""
    files = {path: path.read_bytes() for path in run.dataset.rglob("*") if path.is_file()}
    have_report(run)
    assert "<html" in run.report.read_text()
    assert verdict_on(run).startswith("Looks good: All 3 rows are there")
    assert {path: path.read_bytes() for path in run.dataset.rglob("*") if path.is_file()} == files
    run.report.write_text("mine")
    have_report(run)
    assert run.report.read_text() == "mine"
