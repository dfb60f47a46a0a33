"""A model that stands still ends the run with 75, and one that mostly fails with 70; both lose nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import Outcome, build_dataset, command, committed, dataset_table, only_run
from tests.forkserver import run_command

ROOT = Path(__file__).parents[2]
ROWS = 300
STALL = "6s"
"""Longer than a pass ever takes where several processes share a core."""
OPTIONS = ["--max-new-tokens", 12, "--batch-size", 4, "--checkpoint-seconds", 3600]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """Short prompts, in two shards."""
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"prompt number {index}"}) + "\n" for index in range(ROWS)))
    return path


def hanging(number: int, *options: object, cwd: Path) -> Outcome:
    """The command, with a pass that hangs the first time it is come to."""
    program = [sys.executable, "-m", "tests.workflows.hanging", str(number), str(cwd / "hung"), *command(*options)[3:]]
    done = run_command(program, cwd=ROOT, stderr=subprocess.STDOUT, timeout=300)
    return Outcome(done.returncode, done.stdout)


def test_a_pass_that_hangs_ends_the_run_and_keeps_what_had_finished(
    tmp_path: Path, tiny_gpt2: Path, prompts: Path
) -> None:
    """Code 75, the stacks in the run's folder, the finished rows committed; the same command makes the rest."""
    options = ["--model", tiny_gpt2, "--prompts", prompts, "--data-dir", tmp_path / "data", *OPTIONS]
    hung = hanging(150, *options, "--stall-timeout", STALL, cwd=tmp_path)
    assert hung.code == 75, hung.said
    assert "No forward pass has ended for" in hung.said
    assert "What has finished is committed" in hung.said
    assert "Traceback" not in hung.said
    run = only_run(tmp_path / "data")
    kept = list(committed(run))
    assert 20 < len(kept) < ROWS
    (stacks,) = run.glob("progress/*-stacks.txt")
    assert "hanging.py" in stacks.read_text()
    assert str(stacks) in hung.said
    assert '"end": "stalled"' in next(run.glob("progress/*.jsonl")).read_text()

    again = build_dataset(*options, cwd=tmp_path)
    assert again.code == 0, again.said
    assert f"{len(kept)} of {ROWS} rows were already done" in again.said
    assert "stood still" in (run / "report.html").read_text()
    table = dataset_table(run)
    assert table["prompt"].to_pylist() == [f"prompt number {index}" for index in range(ROWS)]
    texts = dict(zip(table["prompt"].to_pylist(), table["response"].to_pylist(), strict=True))
    shard = ROWS // 2
    assert all(texts[f"prompt number {number * shard + at}"] == text for number, at, text in kept)


def test_a_pass_that_hangs_in_a_worker_leaves_the_others_alone(tmp_path: Path, tiny_gpt2: Path, prompts: Path) -> None:
    """The others fill what they can, its shard too; the parent ends with 75, and the same command assembles."""
    options = ["--model", tiny_gpt2, "--prompts", prompts, "--data-dir", tmp_path / "data", *OPTIONS, "--workers", 2]
    hung = hanging(150, *options, "--stall-timeout", STALL, cwd=tmp_path)
    assert hung.code == 75, hung.said
    run = only_run(tmp_path / "data")
    assert len(list(run.glob("progress/*-stacks.txt"))) == 1
    kept = [(shard, at) for shard, at, _ in committed(run)]
    assert len(set(kept)) == len(kept) > ROWS // 2
    assert not (run / "dataset.json").exists()


def test_too_many_rows_in_error_stop_the_run(tmp_path: Path, tiny_gpt2: Path) -> None:
    """Code 70 with the share, the reason and what to do; with a larger share it goes on."""
    prompts = tmp_path / "prompts.txt"
    long = "x" * 600  # the context has 512 positions
    prompts.write_text("".join(f"{index} {long if index % 10 < 7 else ''}\n" for index in range(240)))
    options = ["--model", tiny_gpt2, "--prompts", prompts, *OPTIONS[:4], "--checkpoint-seconds", 0]
    stopped = build_dataset(*options, cwd=tmp_path)
    assert stopped.code == 70, stopped.said
    assert "ended in error, which is more than --max-error-share 0.5" in stopped.said
    assert "no room is left for a completion" in stopped.said
    assert "--max-error-share 1" in stopped.said
    assert "Traceback" not in stopped.said
    rows = len(list(committed(only_run(tmp_path / "data"))))
    assert 100 <= rows < 240

    allowed = build_dataset(*options, "--max-error-share", "0.7", cwd=tmp_path)
    assert allowed.code == 0, allowed.said
    assert "240 rows (168 errors)" in allowed.said


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--stall-timeout", "soon", "'soon' is not a time such as 15m or 1h, or none"),
        ("--max-error-share", "50", "'50' is not a share from 0 to 1, as 0.5"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, option: str, value: str, said: str) -> None:
    """Before anything is done."""
    refused = build_dataset(option, value, cwd=tmp_path)
    assert refused.code == 78
    assert said in refused.said
