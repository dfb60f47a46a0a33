"""Memory and time of preparing, filling and assembling, against the number of rows.

    python -m benchmarks.memory 2000 20000 200000

Each size runs in a process of its own with the stub engine of the tests: what is measured is the
pipeline, not a model. Memory is the peak above what the imports take.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WORDS = "the quick brown fox jumps over the lazy dog and writes a sentence about it".split()  # noqa: SIM905


def main() -> None:
    """Print one table row a size."""
    print("| rows | prepare, s | fill, s | assemble, s | µs a row | peak memory above imports, MB |")
    print("|---|---|---|---|---|---|")
    for rows in map(int, sys.argv[1:] or ["2000", "20000", "200000"]):
        child = [sys.executable, "-m", "benchmarks.memory", "--one", str(rows)]
        found = json.loads(subprocess.run(child, capture_output=True, text=True, check=True).stdout)
        total = found["prepare"] + found["fill"] + found["assemble"]
        print(
            f"| {rows:,} | {found['prepare']:.2f} | {found['fill']:.2f} | {found['assemble']:.2f} "
            f"| {1e6 * total / rows:.0f} | {found['megabytes']:.0f} |"
        )


def one(rows: int) -> dict[str, float]:
    """Prepare, fill and assemble `rows` rows; seconds of each, and megabytes at the peak."""
    from promptmill.assemble import assemble
    from promptmill.generate import PromptForm, fill_shard, missing_requests
    from promptmill.plan import recorded_manifest, shard_store, write_manifest
    from promptmill.prompts import PromptOptions, prepare_prompts, read_prepared
    from tests.fakes import StubEngine, begun_run

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "prompts.jsonl"
        _write_prompts(source, rows)
        run = begun_run(Path(folder) / "data", source)
        before = _peak()
        seconds: dict[str, float] = {}

        start = time.perf_counter()
        write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), samples=1)
        seconds["prepare"] = time.perf_counter() - start

        start = time.perf_counter()
        manifest = recorded_manifest(run)
        form = PromptForm(chat=False, system_prompt=None, samples=1, run_seed=0)
        for shard, borders in enumerate(manifest.shards):
            store = shard_store(run, manifest, shard)
            missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, *borders)))
            fill_shard(store, missing, StubEngine(), checkpoint_seconds=60, should_stop=bool, on_row=_ignore)
        seconds["fill"] = time.perf_counter() - start

        start = time.perf_counter()
        assemble(run)
        seconds["assemble"] = time.perf_counter() - start
        return {**seconds, "megabytes": (_peak() - before) / 1e6}


def _ignore(_: object) -> None:
    return


def _write_prompts(path: Path, rows: int) -> None:
    with path.open("w") as file:
        for row in range(rows):
            text = " ".join(WORDS[(row + word) % len(WORDS)] for word in range(20 + row % 40))
            record: dict[str, Any] = {"prompt": f"{row}: {text}", "topic": row % 7, "source": f"book {row % 100}"}
            file.write(json.dumps(record) + "\n")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(int(sys.argv[2]))))
    else:
        main()
