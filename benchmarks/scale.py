"""Time and memory of everything but the model, against the number of rows: `python -m benchmarks.scale`.

A stub stands in for the engine and answers at once. Each phase runs in a process of its own, so
that its peak of memory is its own. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

PHASES = ("prepare", "generate", "submit", "status", "assemble")
ROWS = (100_000, 1_000_000, 10_000_000)


def main() -> None:
    """Run all phases for each number of rows, or one phase in this process."""
    options = _options()
    if options.phase:
        _measured(options.phase, Path(options.folder))
        return
    sys.stdout.write(
        "| rows | shards | phase | seconds | CPU seconds | CPU µs a row | peak MB |\n|---|---|---|---|---|---|---|\n"
    )
    for rows in options.rows:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            _write_prompts(Path(folder), rows)
            for phase in PHASES:
                command = [sys.executable, "-m", "benchmarks.scale", "--phase", phase, "--folder", folder]
                told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
                sys.stdout.write(
                    f"| {rows:,} | {told['shards']} | {phase} | {told['seconds']:.1f} | "
                    f"{told['cpu']:.1f} | {1e6 * told['cpu'] / rows:.1f} | {told['peak']:.0f} |\n"
                )
                sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--folder", help="where to work; takes about 2 GB for 10 million rows")
    parser.add_argument("--phase", choices=PHASES, help="one phase in this process, in --folder")
    return parser.parse_args()


def _write_prompts(folder: Path, rows: int) -> None:
    with (folder / "prompts.jsonl").open("w") as file:
        for index in range(rows):
            file.write(f'{{"prompt": "What is special about the number {index}?", "topic": {index % 97}}}\n')


def _measured(phase: str, folder: Path) -> None:
    from promptmill.plan import recorded_manifest
    from promptmill.run import RunFolder

    run = RunFolder.named(folder / "data", "scale")
    start = time.perf_counter()
    globals()[f"_{phase}"](run, folder)
    seconds = time.perf_counter() - start
    who = resource.RUSAGE_CHILDREN if phase == "status" else resource.RUSAGE_SELF
    usage = resource.getrusage(who)
    peak, cpu = usage.ru_maxrss / 1000, usage.ru_utime + usage.ru_stime
    told = {"seconds": seconds, "cpu": cpu, "peak": peak, "shards": len(recorded_manifest(run).shards)}
    sys.stdout.write(json.dumps(told))


def _prepare(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    from promptmill.plan import write_manifest
    from promptmill.prompts import PromptOptions, prepare_prompts, source_digest
    from promptmill.run import Identity, fix_identity, open_run
    from promptmill.sampling import SamplingParameters
    from promptmill.settings import RunSettings

    source = str(folder / "prompts.jsonl")
    sampling = SamplingParameters()
    digest = source_digest(source)
    settings = RunSettings(
        "demo", None, digest, None, None, None, None, 1, sampling, 0, "float32", "none", "transformers"
    )
    open_run(run, settings, source)
    write_manifest(run, prepare_prompts(PromptOptions(source=source), run.prompts_table), 1)
    _pin(run, folder)
    fix_identity(
        run,
        Identity.of(
            settings, revision="0" * 40, prompts=digest, chat_template=None, dtype="float32", quantization="none"
        ),
    )


def _pin(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    from dataclasses import asdict

    from promptmill.files import write_json
    from promptmill.model import PinnedModel

    write_json(run.model, asdict(PinnedModel("demo", "demo", "0" * 40, str(folder), {})))


def _generate(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    """Every shard."""
    from promptmill.generate import PromptForm, fill_shard, missing_requests
    from promptmill.plan import recorded_manifest, shard_store
    from promptmill.prompts import read_prepared

    manifest = recorded_manifest(run)
    form = PromptForm(chat=False, system_prompt=None, samples=1, run_seed=0)
    for shard, (start, stop) in enumerate(manifest.shards):
        store = shard_store(run, manifest, shard)
        missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, start, stop)))
        fill_shard(store, missing, _Stub(), checkpoint_seconds=60, should_stop=lambda: False, on_row=lambda row: None)


def _submit(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    """As if nothing had been generated: all shards are missing."""
    from promptmill.plan import recorded_manifest
    from promptmill.slurm.options import SlurmOptions
    from promptmill.slurm.packing import DEFAULT_MAX_ARRAY_SIZE
    from promptmill.slurm.shards import missing_shards
    from promptmill.slurm.submission import Plan, prepare, scripts

    missing_shards(run)
    options = SlurmOptions(partition="low", max_parallel=DEFAULT_MAX_ARRAY_SIZE)
    everything = list(range(len(recorded_manifest(run).shards)))
    submission = prepare(run, Plan(options, None, 60), everything, most=DEFAULT_MAX_ARRAY_SIZE)
    for script in scripts(run, submission):
        subprocess.run(["bash", "-n", script.path], check=True)


def _status(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    environment = {**os.environ, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "promptmill.cli", "status", str(run.path)]
    subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)


def _assemble(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    from promptmill.assemble import assemble

    if assemble(run):
        raise SystemExit("some shards are damaged")


class _Stub:
    """Answers at once."""

    def generate(self, requests: Iterable, should_stop, may_begin) -> Iterator:  # type: ignore[no-untyped-def,type-arg]
        from promptmill.engine.contract import Completion

        for request in requests:
            if should_stop():
                return
            yield Completion(request.position, f"{request.seed:x}, which no other number is.", "stop", 9, 12)


if __name__ == "__main__":
    main()
