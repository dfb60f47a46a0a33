"""Runs whose rows are given, so that what the report has to say about them is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from promptmill.assemble import lay_out
from promptmill.history import Point
from promptmill.plan import recorded_manifest, shard_store, write_manifest
from promptmill.prompts import PromptOptions, prepare_prompts
from promptmill.rows import Row
from promptmill.run import RunFolder
from tests.fakes import begun_run
from tests.forkserver import run_command

BEGAN = 1_790_000_000.0


def answered(*texts: str) -> list[Row]:
    """Rows that ended by themselves, of as many tokens as words."""
    return [Row(0, text, "stop", 5, max(1, len(text.split())), 0, None) for text in texts]


def failed(error: str) -> Row:
    """A row that could not be generated."""
    return Row(0, "", "error", 600, 0, 0, error)


def run_of(data: Path, rows: Sequence[Row], *, missing: int = 0, chunks: int = 1, whole: bool = False) -> RunFolder:
    """A run with these rows in order, and prompts for so many more.

    Args:
        chunks: that the rows of each shard are committed in.
        whole: whether the dataset is laid out.
    """
    data.mkdir(parents=True, exist_ok=True)
    source = data / "prompts.jsonl"
    count = len(rows) + missing
    source.write_text("".join(json.dumps({"prompt": f"Prompt number {index}"}) + "\n" for index in range(count)))
    run = begun_run(data / "data", source)
    write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), samples=1)
    manifest = recorded_manifest(run)
    for shard, (start, stop) in enumerate(manifest.shards):
        store = shard_store(run, manifest, shard)
        of_shard = [Row(**{**asdict(row), "position": at}) for at, row in enumerate(rows[start:stop])]
        for part in range(chunks):
            if of_shard[part::chunks]:
                store.commit(of_shard[part::chunks])
        if len(of_shard) == stop - start:
            store.complete()
    if whole:
        lay_out(run, manifest, range(len(manifest.shards)))
    return run


def tell(run: RunFolder, writer: str, points: Sequence[Point]) -> None:
    """The history of a process."""
    run.progress.mkdir(exist_ok=True)
    lines = "".join(json.dumps(asdict(point)) + "\n" for point in points)
    file = run.progress / f"{writer}.jsonl"
    file.write_text(lines)
    os.utime(file, (points[-1].at, points[-1].at))


def life(host: str, begin: float, seconds: float, *, rate: float, end: str | None, shard: int = 0) -> list[Point]:
    """A process that makes `rate` tokens a second, ten tokens a row, and says so every 50 s."""
    moments = [50.0 * step for step in range(int(seconds // 50) + 1)]
    points = [
        Point(host, BEGAN + begin, BEGAN + begin + at, shard, int(rate * at / 10), int(rate * at)) for at in moments
    ]
    last = points[-1]
    return points if end is None else [*points, Point(**{**asdict(last), "end": end})]


def report(*options: object, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `promptmill report` in a pipe."""
    return run_command(
        [sys.executable, "-m", "promptmill.cli", "report", *map(str, options)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
