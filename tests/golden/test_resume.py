"""The code of now goes on in runs of an earlier version: same name, same fingerprint, same rows, none made again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from promptmill.files import sha256_of
from promptmill.prompts import PromptOptions, prepare_prompts, source_digest
from promptmill.run import Identity, RunFolder, recorded_identity, recorded_prompts_source
from promptmill.settings import run_name
from tests.command import Outcome, build_dataset, committed, only_run, parquet_files
from tests.fakes import fake_program
from tests.golden.archive import ARCHIVE, read_archive, unpack
from tests.golden.known import (
    FINISHED,
    PUBLISHED,
    STOPPED,
    SUBMITTED,
    TOKEN,
    USER,
    Golden,
    add_models,
    record,
    recorded,
)
from tests.hub import HubServer
from workflows import PublishDataset

ROOT = Path(__file__).parents[2]
State = dict[Path, tuple[bytes, int]]


@pytest.fixture
def machine(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that reaches the Hub with the models, and has nothing of them yet."""
    hub.add_user(USER, token=TOKEN)
    assert add_models(hub, unpack("models", tmp_path)) == record()["models"]
    return {**hub.environment(tmp_path / "home", token=TOKEN), "CUDA_VISIBLE_DEVICES": ""}


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    """Without a Hub, the same command says that it is complete, ends with 0, and touches no file that was there.

    It notes what the files are that it looked at, and makes the report and its verdict, which the archive lacks.
    """
    folder = unpack(FINISHED.name, tmp_path)
    before = _state(folder)
    outcome = build_dataset(*FINISHED.command, cwd=folder, env={"CUDA_VISIBLE_DEVICES": ""})
    assert outcome.code == 0, outcome.said
    assert "The dataset is complete" in outcome.said
    after = _state(folder)
    assert {path: after.get(path) for path in before} == before
    assert {path.name for path in after.keys() - before.keys()} == {"dataset-seen.json", "report.html", "verdict.json"}
    _require_dataset(FINISHED, folder)


@pytest.mark.parametrize("gone", [None, "identity.json"])
def test_a_stopped_run_is_completed_with_the_rows_that_it_lacks(
    gone: str | None, machine: dict[str, str], tmp_path: Path
) -> None:
    """The same command fetches the model's commit again, and ends in the dataset that the version of then made.

    Where the identity is gone, the rows that are there tell by which rules the rest has to be made; the model is
    placed anew.
    """
    folder = unpack(STOPPED.name, tmp_path)
    run = only_run(folder / "data")
    if gone:
        (run / gone).unlink()
        (run / "placement-cpu.json").unlink()
    before = _state(run)
    outcome = build_dataset(*STOPPED.command, cwd=folder, env=machine)
    assert outcome.code == 0, outcome.said
    _require_went_on(STOPPED, folder, before)
    _require_dataset(STOPPED, folder)


def test_jobs_that_waited_fill_the_shards_and_publish(hub: HubServer, machine: dict[str, str], tmp_path: Path) -> None:
    """The batch scripts of then run: an array task that comes back on a node of a new kind, and the job after it."""
    folder = unpack(SUBMITTED.name, tmp_path)
    run = only_run(folder / "data")
    (placement,) = run.glob("placement-*.json")
    placement.unlink()  # decided anew, and with it whether the model is that of the run
    array, last = json.loads((run / "slurm" / "submission.json").read_text())["jobs"]
    before = _state(run)
    status = _status(run, machine)
    assert (status["rows"], status["restarts"]) == (recorded(SUBMITTED).committed, 0)

    task = {"SLURM_JOB_ID": array, "SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": "0", "SLURM_CPUS_PER_TASK": "1"}
    stopped = _job(run, "array", "exit 75", {**machine, **task})
    assert stopped.code == 75, stopped.said
    assert "Not requeued: it was not the walltime" in stopped.said
    filled = _job(run, "array", 'shift; exec "$@"', {**machine, **task, "SLURM_RESTART_COUNT": "1"})
    assert filled.code == 0, filled.said
    finished = _job(run, "last", 'shift; exec "$@"', {**machine, "SLURM_JOB_ID": last})
    assert finished.code == 0, finished.said

    _require_went_on(SUBMITTED, folder, before)
    _require_dataset(SUBMITTED, folder)
    (told,) = json.loads((run / "slurm" / "tasks" / f"{array}_0.json").read_text())["starts"][1:]
    assert (told["reason"], told["rows"]) == ("done", recorded(SUBMITTED).rows - recorded(SUBMITTED).committed)
    assert not list((run / "slurm" / "claims").iterdir())
    published, files = hub.files(PUBLISHED, kind="dataset"), parquet_files(run)
    assert [published[f"data/{path.name}"] for path in files] == [path.read_bytes() for path in files]
    card = yaml.safe_load(published["README.md"].decode().split("---")[1])
    assert (card["license"], card["pretty_name"], card["tags"][-1]) == ("cc-by-4.0", "Golden", "old")
    assert hub.repo(PUBLISHED, kind="dataset").private


@pytest.mark.parametrize("golden", [FINISHED, STOPPED, SUBMITTED], ids=lambda golden: golden.name)
def test_name_digests_and_fingerprint_are_computed_as_then(golden: Golden, tmp_path: Path) -> None:
    """From the records of then, the code of now comes to the very values that stand in them."""
    folder = unpack(golden.name, tmp_path)
    run = RunFolder(only_run(folder / "data"))
    settings, source, identity = run.settings, recorded_prompts_source(run), recorded_identity(run)
    assert source_digest(source) == settings.prompts_sha256
    assert run_name(settings, source) == run.path.name == recorded(golden).name
    options = PromptOptions(source, settings.prompt_column, settings.template, settings.limit)
    assert prepare_prompts(options, tmp_path / "again.parquet").sha256 == identity.prompts
    assert pq.read_table(tmp_path / "again.parquet").equals(pq.read_table(run.prompts_table))  # ids, thus seeds
    again = Identity.of(
        settings,
        revision=record()["models"][golden.model],
        prompts=identity.prompts,
        chat_template=identity.chat_template,
        dtype=identity.dtype,
        quantization=identity.quantization,
    )
    assert again == identity
    assert identity.fingerprint == recorded(golden).fingerprint


def test_a_waiting_job_publishes_as_it_was_told(tmp_path: Path) -> None:
    """Luigi passes over names that a task does not know: an option that was renamed would be lost without a word."""
    (submission,) = unpack(SUBMITTED.name, tmp_path).glob("data/runs/*/slurm/submission.json")
    told = json.loads(submission.read_text())["plan"]["publishing"]
    assert set(told) <= set(dict(PublishDataset.get_params()))


def test_bytes_are_compared_with_the_pinned_pyarrow() -> None:
    """Where another one is installed, tables are; so the record has to follow constraints.txt."""
    assert f"pyarrow=={record()['pyarrow']}" in (ROOT / "constraints.txt").read_text().splitlines()


def test_the_archive_is_small_and_names_no_machine() -> None:
    """What one repository may carry: some 100 kB, and no path of whoever made it."""
    assert ARCHIVE.stat().st_size < 200_000
    paths = (b"/tmp/", b"/home/", b"/root/", b"/work/")
    texts = (file for file in read_archive() if file.name.endswith((".json", ".jsonl", ".sbatch", ".md")))
    assert [file.name for file in texts if any(path in file.content for path in paths)] == []


def _job(run: Path, script: str, srun: str, environment: dict[str, str]) -> Outcome:
    """Run a batch script of the first submission as Slurm's node does, with an srun that is a shell script."""
    programs = run.parents[3] / "bin"
    programs.mkdir(exist_ok=True)
    fake_program(programs, "srun", srun)
    fake_program(programs, "squeue", "exit 0")
    job = subprocess.Popen(
        ["bash", run / "slurm" / "000001" / f"{script}.sbatch"],
        cwd=run.parents[2],
        env={**os.environ, **environment, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = job.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)  # what a script started would live on
        raise
    return Outcome(job.returncode, said)


def _status(run: Path, environment: dict[str, str]) -> dict[str, object]:
    command = [sys.executable, "-m", "promptmill.cli", "status", str(run), "--json"]
    said = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=True).stdout
    value: dict[str, object] = json.loads(said)
    return value


def _state(folder: Path) -> State:
    """Bytes and time of change of every file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def _require_went_on(golden: Golden, folder: Path, before: State) -> None:
    """What there was is there still, nothing was set aside, and the rows made since are those that were missing."""
    run = only_run(folder / "data")
    after = _state(run)
    assert [path for path in after if ".corrupt" in path.name] == []
    # The model is fetched to another place, the Hub is asked again, and array tasks note what they do.
    moving = (run / "model.json", run / "auth.json", *run.glob("slurm/tasks/*"), run / "slurm/claims/00001.json")
    kept = {path: state for path, state in before.items() if path not in moving}
    assert {path: after.get(path) for path in kept} == kept
    places = [(shard, position) for shard, position, _ in committed(run)]
    assert len(places) == len(set(places)) == recorded(golden).rows


def _require_dataset(golden: Golden, folder: Path) -> None:
    """Name, fingerprint and rows are those of then; byte by byte, unless another pyarrow writes other bytes."""
    run, known = only_run(folder / "data"), recorded(golden)
    assert run.name == known.name
    for file in ("identity.json", "dataset.json"):
        assert json.loads((run / file).read_text())["fingerprint"] == known.fingerprint
    assert [path.name for path in parquet_files(run)] == list(known.data)
    if pa.__version__ == record()["pyarrow"]:
        assert {path.name: sha256_of(path) for path in parquet_files(run)} == known.data
    for path in parquet_files(run):
        assert pq.read_table(path).equals(pq.read_table(folder / "expected" / path.name))
