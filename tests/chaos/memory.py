"""Many rows in little memory: preparing, filling and assembling under a limit that the kernel keeps.

    python -m tests.chaos.memory 1000000 600

Each stage is a process of its own with RLIMIT_DATA: what it allocates beyond that is refused, as in a
small job. The stub engine answers, so what is limited is everything but the model.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.chaos.results import Result

STAGES = ("prepare", "fill", "assemble")
SHORT, LONG = (100_000, 500), (1_000_000, 600)
"""Rows and MB. The imports and the stacks of threads take some 250 MB, the report up to 200."""
_TWO_CORES = {"OMP_NUM_THREADS": "2", "ARROW_IO_THREADS": "2", "RAYON_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
"""A thread's stack counts, and libraries start as many threads as there are cores."""
_ROOT = Path(__file__).parents[2]


def run(long: bool) -> list[Result]:
    """A million rows, or a hundred thousand."""
    with tempfile.TemporaryDirectory() as folder:
        return [limited(Path(folder), *(LONG if long else SHORT))]


def limited(folder: Path, rows: int, megabytes: int) -> Result:
    """Make a dataset of so many rows; the text of a stage that fails is raised."""
    _write_prompts(folder / "prompts.jsonl", rows)
    peaks = {stage: _staged(stage, folder, megabytes) for stage in STAGES}
    found, different = _rows(folder)
    said = ", ".join(f"{stage} {peak} MB" for stage, peak in peaks.items())
    note = f"limit {megabytes} MB of data; resident at most: {said}"
    return Result(
        f"{rows:,} rows under a memory limit", len(STAGES), 0, rows, rows - different, found - different, 0, note
    )


def _write_prompts(path: Path, rows: int) -> None:
    with path.open("w") as file:
        for row in range(rows):
            text = " ".join(f"word{(row + place) % 97}" for place in range(20 + row % 40))
            file.write(f'{{"prompt": "{row}: {text}", "topic": {row % 7}}}\n')


def _staged(stage: str, folder: Path, megabytes: int) -> int:
    """Run a stage in a process of its own; the most that it had in memory, in MB."""
    program = [sys.executable, "-m", "tests.chaos.memory", stage, str(folder), str(megabytes)]
    environment = {**os.environ, **_TWO_CORES}
    done = subprocess.run(program, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{stage} with {megabytes} MB: {done.stderr[-3000:]}")
    return int(done.stdout)


def _rows(folder: Path) -> tuple[int, int]:
    """How many rows the dataset has, and how many different ones."""
    import pyarrow.parquet as pq

    files = sorted(folder.glob("data/runs/*/dataset/data/*.parquet"))
    ids = [one for file in files for one in pq.read_table(file, columns=["prompt_id"])["prompt_id"].to_pylist()]
    return len(ids), len(set(ids))


def _prepare(folder: Path) -> None:
    from promptmill.plan import write_manifest
    from promptmill.prompts import PromptOptions, prepare_prompts
    from tests.fakes import begun_run

    source = folder / "prompts.jsonl"
    run = begun_run(folder / "data", source)
    write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), samples=1)


def _fill(folder: Path) -> None:
    from promptmill.generate import PromptForm, fill_shard, missing_requests
    from promptmill.plan import recorded_manifest, shard_store
    from promptmill.prompts import read_prepared
    from tests.fakes import StubEngine

    run, form = _run(folder), PromptForm(chat=False, system_prompt=None, samples=1, run_seed=0)
    manifest = recorded_manifest(run)
    for shard, borders in enumerate(manifest.shards):
        store = shard_store(run, manifest, shard)
        missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, *borders)))
        fill_shard(store, missing, StubEngine(), checkpoint_seconds=60, should_stop=bool, on_row=lambda row: None)


def _assemble(folder: Path) -> None:
    from promptmill.assemble import assemble

    run = _run(folder)
    if assemble(run) or not run.report.exists():
        raise RuntimeError("a shard is damaged, or there is no report")


def peak_bytes() -> int:
    """The most that this process had resident; `getrusage` would count the one that started it as well."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def _run(folder: Path):  # type: ignore[no-untyped-def]
    from promptmill.run import RunFolder

    return RunFolder.named(folder / "data", "stub")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        with tempfile.TemporaryDirectory() as place:
            sys.stdout.write(f"{limited(Path(place), int(sys.argv[1]), int(sys.argv[2]))}\n")
    else:
        most = int(sys.argv[3]) * 1_000_000
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        {"prepare": _prepare, "fill": _fill, "assemble": _assemble}[sys.argv[1]](Path(sys.argv[2]))
        sys.stdout.write(str(peak_bytes() // 1_000_000))
