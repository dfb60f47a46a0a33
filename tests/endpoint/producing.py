"""Whole runs on the server of a test, in this process."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from promptmill.endpoint.meeting import is_met, meet_server
from promptmill.endpoint.options import EndpointOptions
from promptmill.plan import recorded_manifest, shard_store, write_manifest
from promptmill.production import produce_shard
from promptmill.prompts import PromptOptions, prepare_prompts
from promptmill.run import RunFolder, open_run
from promptmill.sampling import SamplingParameters
from promptmill.settings import RunSettings
from promptmill.stopping import StopRequest
from tests.endpoint.asking import SHORT
from tests.endpoint.server import MODEL, WordServer

PLAIN = RunSettings(
    MODEL, None, "0" * 64, None, None, None, None, 1, SamplingParameters(), 0, "auto", "none", "endpoint"
)


def begun(folder: Path, settings: RunSettings = PLAIN, *, rows: int = 1, messages: bool = False) -> RunFolder:
    """A run whose prompts are prepared."""
    source = folder / "prompts.jsonl"
    texts = ["Hi"] if rows == 1 else [f"prompt number {place}" for place in range(rows)]
    one: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": text}]} if messages else {"prompt": text} for text in texts
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in one))
    run = RunFolder.named(folder / "data", "mine")
    open_run(run, settings, str(source))
    write_manifest(run, prepare_prompts(PromptOptions(str(source)), run.prompts_table), 1)
    return run


def produced(run: RunFolder, server: WordServer, **options: Any) -> bool:
    """Meet the server if that was not done, and fill what is missing; whether all is complete."""
    asked = EndpointOptions(**{"urls": (server.url,), "waits": SHORT, **options})
    manifest = recorded_manifest(run)
    if not is_met(run):
        meet_server(run, manifest.prompts, asked)
    stop = StopRequest()
    return all(
        produce_shard(run, shard, batch_size=None, checkpoint_seconds=0.1, processes=1, stop=stop, endpoint=asked)
        for shard in range(len(manifest.shards))
    )


def rows_of(run: RunFolder) -> pa.Table:
    """All that is committed."""
    manifest = recorded_manifest(run)
    return pa.concat_tables(shard_store(run, manifest, shard).read() for shard in range(len(manifest.shards)))


def sampled(**changes: Any) -> RunSettings:
    """Settings with other sampling parameters."""
    return replace(PLAIN, sampling=SamplingParameters(**changes))
