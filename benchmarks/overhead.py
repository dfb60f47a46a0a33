"""Tokens a second of the whole GenerateShard stage against the same engine in a bare loop.

    python -m benchmarks.overhead [rows] [rounds]

Same process, same model, same requests, by turns; the stage includes reading what is done, progress,
commits (every 5 s here, to be strict) and the manifest. Printed: the median ratio stage / bare.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from promptmill.engine.transformers import TransformersEngine
from promptmill.generate import PromptForm
from promptmill.hardware import detect_hardware
from promptmill.model import pin_model
from promptmill.placement import load_placed, place_model
from promptmill.plan import recorded_manifest, shard_store, write_manifest
from promptmill.production import produce_shard
from promptmill.prompts import PromptOptions, default_prompts_path, prepare_prompts, read_prepared
from promptmill.run import RunFolder, open_run
from promptmill.sampling import SamplingParameters
from promptmill.settings import RunSettings
from promptmill.stopping import StopRequest
from tests.fakes import begun_run


def main(rows: int, rounds: int) -> None:
    """Print the ratio of every round and their median."""
    with tempfile.TemporaryDirectory() as folder:
        run = _placed_run(Path(folder), rows)
        ratios = []
        for number in range(rounds):
            bare, stage = _bare(run), _stage(run)
            ratios.append(stage / bare)
            print(f"round {number + 1}: bare {bare:.1f}, stage {stage:.1f} tokens/s, ratio {ratios[-1]:.3f}")
        print(f"median ratio {statistics.median(ratios):.3f}")


def _placed_run(data: Path, rows: int) -> RunFolder:
    source = str(default_prompts_path())
    stub = begun_run(data / "stub", default_prompts_path()).settings
    sampling = SamplingParameters(max_new_tokens=64, temperature=0)
    settings: RunSettings = replace(stub, model="demo", limit=rows, sampling=sampling)
    run = RunFolder.named(data, "overhead")
    open_run(run, settings, source)
    prepared = prepare_prompts(PromptOptions(source, limit=rows), run.prompts_table)
    write_manifest(run, prepared, samples=1)
    pin_model("demo", None, Path("data").resolve(), run.model)
    place_model(run, detect_hardware(), prepared)
    return run


def _bare(run: RunFolder) -> float:
    manifest = recorded_manifest(run)
    form = PromptForm(chat=True, system_prompt=None, samples=1, run_seed=0)
    requests = list(form.requests(read_prepared(run.prompts_table, *manifest.shards[0])))
    loaded = load_placed(run, detect_hardware())
    engine = TransformersEngine(loaded.model, loaded.tokenizer, run.settings.sampling)
    start = time.perf_counter()
    tokens = sum(completion.completion_tokens for completion in engine.generate(requests, lambda: False))
    return tokens / (time.perf_counter() - start)


def _stage(run: RunFolder) -> float:
    shutil.rmtree(run.shards, ignore_errors=True)
    start = time.perf_counter()
    done = produce_shard(run, 0, batch_size=None, checkpoint_seconds=5, processes=1, stop=StopRequest())
    seconds = time.perf_counter() - start
    complete = shard_store(run, recorded_manifest(run), 0).manifest()
    if not done or complete is None:
        raise RuntimeError("the stage did not finish")
    return complete.counts.completion_tokens / seconds


if __name__ == "__main__":
    main(*(int(value) for value in (sys.argv[1:] + ["40", "3"][len(sys.argv) - 1 :])))
