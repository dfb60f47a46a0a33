"""The report and the card's picture as parts of a finished dataset."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from promptmill.assemble import assemble, recorded_dataset
from tests.command import build_dataset, only_run
from tests.report.runs import answered, run_of


def test_a_dataset_comes_with_its_report_and_picture(tiny_gpt2: Path, tmp_path: Path) -> None:
    """A real run: the report lies in its folder, the picture in the dataset, named by card and manifest."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"number {index}"}) + "\n" for index in range(40)))
    options = ("--model", tiny_gpt2, "--prompts", prompts, "--max-new-tokens", 8)
    outcome = build_dataset(*options, cwd=tmp_path)
    assert outcome.code == 0, outcome.said
    run = only_run(tmp_path / "data")
    page = (run / "report.html").read_text()
    assert "40 rows are there" in page
    assert "The first prompt as the model gets it" in page
    assert "number 17" in page or "number 3" in page
    assert "tokens/s" in page
    assert list((run / "progress").glob("*.jsonl"))
    assert "](lengths.png)" in (run / "dataset" / "README.md").read_text()
    files = json.loads((run / "dataset.json").read_text())["files"]
    assert {"lengths.png", "README.md"} < set(files)
    assert "report.html" not in files
    assert not list((run / "dataset").rglob("*.html"))


def test_the_picture_is_of_the_rows_alone(tmp_path: Path) -> None:
    """The same bytes for the same rows, whatever chunks they came in and however often."""
    rows = answered(*(" ".join(["word"] * (at % 17 + 1)) for at in range(300)))
    one, two = run_of(tmp_path / "one", rows), run_of(tmp_path / "two", rows, chunks=3)
    assert (assemble(one), assemble(two)) == ([], [])
    picture = (one.dataset / "lengths.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000
    assert (two.dataset / "lengths.png").read_bytes() == picture
    assert (two.dataset / "README.md").read_text().replace("two/", "one/") == (one.dataset / "README.md").read_text()


def test_a_report_that_fails_does_not_take_the_dataset_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is complete without, the card names no picture, and the log says how to get the report."""
    run = run_of(tmp_path, answered("a", "b"))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    with caplog.at_level(logging.WARNING):
        assert assemble(run) == []
    assert recorded_dataset(run) is not None
    assert "lengths.png" not in (run.dataset / "README.md").read_text()
    assert f"promptmill report {run.path}" in caplog.text
