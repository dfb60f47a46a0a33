"""Seconds, size and memory of a report against the number of rows: `python -m benchmarks.report`.

The rows are made up: words drawn at random, with repeats, near repeats, refusals and errors among them.
The report is written by the command that a user types, in a process of its own. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROWS = (10_000, 100_000, 1_000_000)
WORDS = 120


def main() -> None:
    """Make a run of each size, and report on it twice: from its chunks, and from the dataset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--folder", help="where to work; takes about 1 GB for a million rows")
    options = parser.parse_args()
    sys.stdout.write("| rows | from | MB of text | seconds | CPU seconds | MB of the report | peak MB |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    for rows in options.rows:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            run, characters = _made_up(Path(folder), rows)
            for origin in ("chunks", "dataset"):
                if origin == "dataset":
                    _lay_out(run)
                seconds, cpu, peak = _reported(run)
                size = (run.path / "report.html").stat().st_size
                sys.stdout.write(
                    f"| {rows:,} | {origin} | {characters / 1e6:,.0f} | {seconds:.1f} | {cpu:.1f} | "
                    f"{size / 1e6:.2f} | {peak:.0f} |\n"
                )
                sys.stdout.flush()


def _made_up(folder: Path, rows: int):  # type: ignore[no-untyped-def]
    """A run whose shards are complete, and the characters of its responses."""
    from promptmill.plan import recorded_manifest, shard_store, write_manifest
    from promptmill.prompts import PromptOptions, prepare_prompts
    from promptmill.rows import Row
    from tests.fakes import begun_run

    source = folder / "prompts.jsonl"
    with source.open("w") as file:
        for index in range(rows):
            file.write(f'{{"prompt": "Write a paragraph about the number {index}."}}\n')
    run = begun_run(folder / "data", source)
    write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), samples=1)
    manifest, texts, characters = recorded_manifest(run), _texts(), 0
    for shard in range(len(manifest.shards)):
        made = []
        for position in range(manifest.shard_rows(shard)):
            text = next(texts)
            characters += len(text)
            tokens = len(text) // 5 + 1
            reason = "error" if not text else "length" if tokens > 190 else "stop"
            made.append(Row(position, text, reason, 20 + position % 30, tokens, position, None if text else "too long"))
        store = shard_store(run, manifest, shard)
        store.commit(made)
        store.complete()
    return run, characters


def _texts() -> Iterator[str]:
    chance = random.Random(0)
    words = ["".join(chance.choices("etaoinshrdlucmfw", k=chance.randint(2, 9))) for _ in range(20_000)]
    while True:
        kind = chance.random()
        if kind < 0.002:
            yield ""
        elif kind < 0.02:
            yield "I'm sorry, but I can't help with that."
        elif kind < 0.05:
            yield f"Here is a paragraph about the number {chance.randint(0, 10**6)}: " + " ".join(words[:40])
        else:
            yield " ".join(chance.choices(words, k=chance.randint(WORDS // 2, WORDS + WORDS // 2))).capitalize()


def _lay_out(run) -> None:  # type: ignore[no-untyped-def]
    from promptmill.assemble import lay_out
    from promptmill.plan import recorded_manifest

    manifest = recorded_manifest(run)
    lay_out(run, manifest, range(len(manifest.shards)))


def _reported(run) -> tuple[float, float, float]:  # type: ignore[no-untyped-def]
    """Seconds, seconds of processor time, and the peak of memory in MB."""
    command = [sys.executable, "-m", "promptmill.cli", "report", str(run.path)]
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit("the report failed")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


if __name__ == "__main__":
    main()
