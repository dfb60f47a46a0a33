"""`promptmill status` as people and scripts use it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from promptmill.files import write_json
from promptmill.plan import PromptsManifest, cut, recorded_manifest, shard_store
from promptmill.progress import tell_loading, writer_name
from promptmill.prompts import PreparedPrompts
from promptmill.rows import Row
from promptmill.run import Identity, RunFolder, fix_identity, open_run
from promptmill.sampling import SamplingParameters
from promptmill.settings import RunSettings
from promptmill.shard import ShardCounts, ShardManifest
from promptmill.slurm.options import SlurmOptions
from promptmill.slurm.submission import Plan, prepare
from promptmill.status.reading import read_status
from promptmill.status.showing import shown
from promptmill.status.values import RunStatus
from tests.forkserver import run_command
from tests.terminal import Terminal

NOT_FOUND = 66


def big_run(data: Path, rows: int, *, done: int) -> RunFolder:
    """A run of so many rows with `done` of its shards complete; the rows themselves are not there."""
    run = RunFolder.named(data, "big")
    settings = RunSettings(
        "demo", None, "0" * 64, None, None, None, None, 1, SamplingParameters(), 0, "float32", "none", "transformers"
    )
    open_run(run, settings, "prompts.txt")
    prompts = PreparedPrompts(rows, "0" * 64, "prompt", (), "prompts.txt", None)
    manifest = PromptsManifest(prompts, 1, cut(rows, 1), "0" * 64)
    write_json(run.prompts, asdict(manifest))
    identity = Identity.of(
        settings, revision="0" * 40, prompts="0" * 64, chat_template=None, dtype="float32", quantization="none"
    )
    fingerprint = fix_identity(run, identity).fingerprint
    for shard in range(done):
        of_shard = manifest.shard_rows(shard)
        counts = ShardCounts(of_shard, of_shard, 10 * of_shard, of_shard)
        chunks = tuple(f"chunk-{number:06d}-{'0' * 16}.parquet" for number in range(100))
        write_json(run.shards / f"{shard:05d}.json", asdict(ShardManifest(shard, fingerprint, chunks, counts)))
    return run


def commit(run: RunFolder, shard: int, positions: range) -> None:
    """Commit rows of a shard as one chunk."""
    rows = [Row(position, "r", "stop", 1, 10, 0, None) for position in positions]
    shard_store(run, recorded_manifest(run), shard).commit(rows)


def told(run: RunFolder, writer: str, **changes: object) -> None:
    """A progress file."""
    now = time.time()
    value = {"host": "elsewhere", "pid": 1, "doing": "shard 3 of 256", "began": now - 100, "updated": now - 1}
    write_json(
        run.progress / f"{writer}.json", {**value, "rows": 500, "tokens": 5000, "tokens_per_second": 50.0, **changes}
    )


def status(*options: object, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return run_command(
        [sys.executable, "-m", "promptmill.cli", "status", *map(str, options)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        timeout=60,
    )


def test_a_run_of_ten_million_rows_is_told(tmp_path: Path) -> None:
    """In 80 columns, without colours in a pipe; `benchmarks/scale.py` has the time that it takes."""
    run = big_run(tmp_path / "data", 10_000_000, done=800)
    for chunk in range(40):
        commit(run, 800, range(100 * chunk, 100 * chunk + 100))
    told(run, "elsewhere-1", doing="shard 801 of 1000")
    done = status(cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert max(map(len, said.splitlines())) <= 80
    assert "\x1b" not in said
    assert "8,004,000 of 10,000,000 (80.0 %)" in said
    assert "800 done, 1 running, 199 waiting, 0 lost of 1000" in said
    assert "50 now" in said


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}], ids=["colours", "no colours"])
def test_a_terminal_gets_80_columns_and_colours_unless_told(tmp_path: Path, variables: dict[str, str]) -> None:
    """The same words as in a pipe."""
    big_run(tmp_path / "data", 10_000, done=1)
    command = [sys.executable, "-m", "promptmill.cli", "status", "big"]
    with Terminal(command, cwd=tmp_path, env=variables) as terminal:
        assert terminal.end() == 0
    assert "625 of 10,000" in terminal.text
    assert max(map(len, terminal.text.splitlines())) <= 80
    assert ("33mstopped" in terminal.shown) == (not variables)
    piped = status("big", cwd=tmp_path).stdout
    assert [line.rstrip() for line in terminal.text.splitlines()] == [line.rstrip() for line in piped.splitlines()]


def test_scripts_get_one_json_object(tmp_path: Path) -> None:
    """With the same numbers."""
    run = big_run(tmp_path / "data", 10_000, done=1)
    told(run, "elsewhere-1", doing="shard 2 of 16", rows=100)
    value = json.loads(status(run.path, "--json", cwd=tmp_path).stdout)
    assert (value["state"], value["rows"], value["tokens"], value["rows_total"]) == ("running", 625, 6250, 10_000)
    assert value["shards"] == {"total": 16, "done": 1, "running": 1, "waiting": 14, "lost": 0}
    assert (value["jobs"], value["made_again"]) == ({}, None)
    assert pytest.approx(9375 / (100 / 99), rel=0.05) == value["eta_seconds"]


def test_processes_that_load_their_model_are_told(tmp_path: Path) -> None:
    """While its processes load, a run is none that stopped, and has no shard under way; once one generates, it runs."""
    run = big_run(tmp_path / "data", 10_000, done=1)
    tell_loading(run.progress / f"{writer_name()}.json")
    loading = read_status(run)
    assert (loading.state, loading.shards.running, loading.eta_seconds) == ("loading", 0, None)
    assert [one.doing for one in loading.processes] == ["loading the model"]
    told(run, "elsewhere-1", doing="shard 2 of 16")
    assert (read_status(run).state, read_status(run).shards.running) == ("running", 1)
    assert "loading: the model is being loaded" in _shown(loading)


def _shown(value: RunStatus) -> str:
    console = Console(width=80, file=io.StringIO())
    console.print(shown(value))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_process_that_ended_without_a_word_is_not_counted(tmp_path: Path) -> None:
    """One of this machine that is gone, and one of another that was not heard of for long."""
    run = big_run(tmp_path / "data", 10_000, done=1)
    told(run, "elsewhere-1", updated=time.time() - 3600)
    gone = subprocess.Popen(["true"])
    gone.wait()
    told(run, "here-1", host=os.uname().nodename, pid=gone.pid)
    value = json.loads(status("big", "--json", cwd=tmp_path).stdout)
    assert (value["state"], value["processes"]) == ("stopped", [])


def test_very_many_chunks_are_estimated_and_that_is_said(tmp_path: Path) -> None:
    """500 footers are read, not all."""
    run = big_run(tmp_path / "data", 10_000, done=0)
    commit(run, 0, range(10))
    (chunk,) = (run.shards / "00000").iterdir()
    for number in range(2, 602):
        os.link(chunk, chunk.with_name(f"chunk-{number:06d}-{'0' * 16}.parquet"))
    assert "about 6,010 of 10,000" in status("big", cwd=tmp_path).stdout


def test_without_slurm_the_files_alone_tell(tmp_path: Path) -> None:
    """And it says so."""
    run = big_run(tmp_path / "data", 10_000, done=3)
    submission = prepare(run, Plan(SlurmOptions(), None, 60.0), [3, 4], most=2)
    write_json(run.path / "slurm" / "submission.json", {**asdict(submission), "jobs": ["1", "2"]})
    said = status("big", cwd=tmp_path, env={"PATH": str(tmp_path)})
    assert said.returncode == 0, said.stderr
    assert "Slurm does not answer" in said.stdout
    assert "3 done, 0 running, 13 waiting" in said.stdout


def test_the_last_errors_come_with_the_name_of_their_log(tmp_path: Path) -> None:
    """From the end of the logs, the latest first."""
    run = big_run(tmp_path / "data", 10_000, done=0)
    logs = run.path / "slurm" / "logs"
    logs.mkdir(parents=True)
    (logs / "7_1.log").write_text("12:00:00 INFO fine\n12:00:01 ERROR The model cannot be loaded: torn file\n")
    said = status("big", cwd=tmp_path).stdout
    assert "The model cannot be loaded: torn file" in said
    assert "slurm/logs/7_1.log" in said


def test_an_unknown_run_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    """In a sentence, with an exit code."""
    assert status(cwd=tmp_path).returncode == NOT_FOUND
    big_run(tmp_path / "data", 1000, done=0)
    done = status("bgi", cwd=tmp_path)
    assert done.returncode == NOT_FOUND
    assert "Runs there: big" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_has_just_begun_has_a_status(tmp_path: Path) -> None:
    """Before the prompts are prepared."""
    run = big_run(tmp_path / "data", 1000, done=0)
    run.prompts.unlink()
    done = status("big", cwd=tmp_path)
    assert (done.returncode, "0 of 0" in done.stdout) == (0, True)


def test_help_has_an_example(tmp_path: Path) -> None:
    """As every help should."""
    said = status("--help", cwd=tmp_path).stdout
    assert "promptmill status data/runs/my-run --watch" in " ".join(said.split())


def test_the_status_does_not_import_torch() -> None:
    """It answers at once, on a login node."""
    check = (
        "import sys, promptmill.cli, promptmill.status.showing; "
        "sys.exit(bool({'torch', 'transformers', 'luigi', 'datasets'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
