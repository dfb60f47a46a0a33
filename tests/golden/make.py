"""`python -m tests.golden.make [FOLDER]`: make the golden runs with the code of now, and pack them.

Meant for one commit each: what it writes are runs of the version that it is run with. It never replaces an
archive, as runs of an earlier version can't be made again. Needs Slurm.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from promptmill.files import sha256_of
from promptmill.generate import PromptForm
from promptmill.plan import recorded_manifest
from promptmill.prompts import read_prepared
from promptmill.run import RunFolder, recorded_identity
from tests.command import Outcome, build_dataset, committed, only_run, parquet_files, start
from tests.golden.archive import ARCHIVE, PYTHON, ROOT, Packed, packed, write_archive
from tests.golden.known import FINISHED, PUBLISHED, RECORD, STOPPED, SUBMITTED, TOKEN, USER, Golden, add_models
from tests.golden.models import CHAT, CONTEXT, save_models
from tests.golden.steady import unsteady_rows
from tests.hub import HubServer
from tests.slurm.cluster import Cluster
from tests.slurm.running import User

# A row at a time, committed often: so that a run of a second can be killed in its middle.
SLOWLY = ("--batch-size", 1, "--checkpoint-seconds", 0.05)
NODE = "golden-node"
NEVER_READ = ("report.html", "*/slurm/logs/*")
_THINGS = ("river", "stone", "lantern", "harbour", "copper", "willow", "thunder", "meadow", "orchard", "velvet", "ice")


def main(target: Path) -> None:
    """Make all of them, show that their rows don't hang on rounding, and write archive and record."""
    target.mkdir(parents=True, exist_ok=True)
    archive = target / ARCHIVE.name
    if archive.exists():
        sys.exit(f"{archive} is there, and the version that made it is not. Name another folder for a new one.")
    with tempfile.TemporaryDirectory(prefix="golden-") as folder, HubServer() as hub:
        root = Path(folder).resolve()
        save_models(root / "models")
        hub.add_user(USER, token=TOKEN)
        commits = add_models(hub, root / "models")
        os.environ.update(hub.environment(root / "hf", token=TOKEN), CUDA_VISIBLE_DEVICES="")
        files = packed(root / "models", "models", _anonymous(root))
        records = {}
        for run, make in ((FINISHED, _finished), (STOPPED, _stopped), (SUBMITTED, _submitted)):
            (root / run.name).mkdir()
            make(root / run.name)
            made = _without_what_nobody_reads(packed(root / run.name, run.name, _anonymous(root)))
            records[run.name] = _completed(root, run)
            files += made + packed(only_run(root / run.name / "data") / "dataset/data", f"{run.name}/expected", str)
        _require_no_trace(files, root)
        write_archive(files, archive)
        record = {"pyarrow": pa.__version__, "models": commits, "runs": records}
        (target / RECORD.name).write_text(json.dumps(record, indent=2) + "\n")
        print(f"{archive}: {archive.stat().st_size} bytes, {len(files)} files")


def _finished(folder: Path) -> None:
    """Lines of text."""
    (folder / "prompts.txt").write_text("".join(f"What is {_topic(index)}?\n" for index in range(40)), encoding="utf-8")
    _require_well(build_dataset(*FINISHED.command, cwd=folder))


def _stopped(folder: Path) -> None:
    """Rows for a template, with columns of several types; the last is longer than the model's context."""
    rows: list[dict[str, Any]] = [
        {
            "topic": _topic(index),
            "level": index % 5,
            "share": index / 8,
            "note": None if index % 2 else "short é",
            "tags": _THINGS[: index % 3],
        }
        for index in range(19)
    ]
    rows.append({**rows[-1], "topic": "long " * (CONTEXT // 5)})
    _write_rows(folder / "prompts.jsonl", rows)
    process = start(*STOPPED.command, *SLOWLY, cwd=folder)
    _wait(lambda: _rows(folder, 0) >= 12)
    process.kill()
    process.communicate()


def _submitted(folder: Path) -> None:
    """An array of one task over two shards, killed in the second; the job after it never ran."""
    _write_rows(folder / "prompts.jsonl", [chat(index) for index in range(256)])
    cluster = Cluster()
    try:
        cluster.start()
        user = User(cluster, folder, Path(CHAT))
        user.options = (*SUBMITTED.options, *SLOWLY, "--max-parallel", 1, "--time", "20:00")
        place = ("--device-map", "cpu", "--max-memory", '{"cpu": "4GiB"}')
        card = ("--license", "cc-by-4.0", "--pretty-name", "Golden", "--tags", "old")
        _require_well(user.submit(*place, *card, "--publish-to", PUBLISHED, "--private"))
        _, last = json.loads((user.run / "slurm" / "submission.json").read_text())["jobs"]
        cluster.run("scancel", last)
        _wait(lambda: _rows(folder, 1) >= 40)
        (progress,) = user.run.glob("progress/*.json")
        os.kill(json.loads(progress.read_text())["pid"], signal.SIGKILL)
        user.wait_until_idle(60)
    finally:
        cluster.stop()


def _completed(root: Path, run: Golden) -> dict[str, Any]:
    """What is known of a run once it is complete, and how many rows it had before."""
    folder = root / run.name
    before = len(list(committed(only_run(folder / "data"))))
    _require_well(build_dataset(*run.command, cwd=folder))
    path = only_run(folder / "data")
    done = RunFolder(path)
    _require_steady(root, run, done)
    return {
        "name": path.name,
        "fingerprint": recorded_identity(done).fingerprint,
        "committed": before,
        "rows": recorded_manifest(done).rows,
        "data": {file.name: sha256_of(file) for file in parquet_files(path)},
    }


def _require_steady(root: Path, run: Golden, done: RunFolder) -> None:
    settings, manifest = done.settings, recorded_manifest(done)
    form = PromptForm(
        chat=recorded_identity(done).chat,
        system_prompt=settings.system_prompt,
        samples=manifest.samples,
        run_seed=settings.seed,
    )
    requests = form.requests(read_prepared(done.prompts_table, 0, manifest.prompts.rows))
    unsteady = unsteady_rows(root / "models" / run.model, settings.sampling, requests)
    if unsteady:
        sys.exit(f"Rows {unsteady} of {run.name} hang on rounding: choose another seed or other prompts.")


def chat(index: int) -> dict[str, Any]:
    """A chat of one turn or two, in some rows with a system message of its own."""
    messages = [{"role": "user", "content": f"{_topic(index)}?"}]
    if index % 3 == 0:
        messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello é"}, *messages]
    if index % 7 == 0:
        messages = [{"role": "system", "content": "Rhyme."}, *messages]
    return {"messages": messages, "number": index}


def _topic(index: int) -> str:
    count = len(_THINGS)
    return f"{_THINGS[index % count]} {index * 7919 % 1000} of {_THINGS[index * 5 % (count - 1)]}"


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _rows(folder: Path, shard: int) -> int:
    """Rows of a shard that are committed in the only run, if it was begun."""
    runs = list(folder.glob("data/runs/*"))
    return sum(one == shard for run in runs for one, _, _ in committed(run))


def _wait(holds: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            sys.exit("The run was over before it was killed, or never began. Give it more rows, or more time.")
        time.sleep(0.01)


def _require_well(outcome: Outcome) -> None:
    if outcome.code:
        sys.exit(outcome.said)


def _anonymous(root: Path) -> Callable[[str], str]:
    """What takes paths and the name of this machine out of a text."""
    host = re.compile(rf"\b{re.escape(socket.gethostname())}\b")

    def replace(text: str) -> str:
        return host.sub(NODE, text.replace(str(root), ROOT).replace(sys.executable, PYTHON))

    return replace


def _without_what_nobody_reads(files: list[Packed]) -> list[Packed]:
    return [file for file in files if not any(Path(file.name).match(pattern) for pattern in NEVER_READ)]


def _require_no_trace(files: list[Packed], root: Path) -> None:
    traces = {str(root), sys.prefix, str(Path.home()), str(Path.cwd())}
    for file in files:
        found = [trace for trace in traces if trace.encode() in file.content]
        if found:
            sys.exit(f"{file.name} has {found} in it.")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ARCHIVE.parent)
