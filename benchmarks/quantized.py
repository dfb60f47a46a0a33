"""8 and 4 bits by bitsandbytes on a CPU, beside the plain model: memory and tokens per second.

    python -m benchmarks.quantized [--rows 16] [--tokens 32] [--rounds 3] [--threads 1]

The demo model, greedy, the benchmark's first prompts; each in a process of its own, which loads the weights as a run
does. On a CPU the gain is memory, not speed. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.engine_prompts import benchmark_requests
from promptmill.engine.transformers import TransformersEngine
from promptmill.hardware import detect_hardware
from promptmill.model import pin_model
from promptmill.placement import load_placed, place_model, recorded_placement
from promptmill.prompts import PromptOptions, default_prompts_path, prepare_prompts
from promptmill.run import RunFolder, open_run
from promptmill.sampling import SamplingParameters
from tests.chaos.memory import peak_bytes
from tests.fakes import begun_run

QUANTIZATIONS = ("none", "8bit", "4bit")


def main() -> None:
    """Print the table, or as a child process the figures of one line of it."""
    options = _options()
    if options.one:
        sys.stdout.write(json.dumps(_measured(options)))
        return
    sys.stdout.write("| Weights | MB of weights | most resident, MB | tokens/s |\n|---|---|---|---|\n")
    with tempfile.TemporaryDirectory() as folder:
        for quantization in QUANTIZATIONS:
            command = [sys.executable, "-m", "benchmarks.quantized", *sys.argv[1:], "--data", options.data or folder]
            done = subprocess.run([*command, "--one", quantization], stdout=subprocess.PIPE, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            sys.stdout.write(
                f"| {'float32' if quantization == 'none' else quantization} | {found['weights'] / 1e6:.0f} "
                f"| {found['peak'] / 1e6:.0f} | {found['speed']:.1f} |\n"
            )


def _measured(options: argparse.Namespace) -> dict[str, float]:
    torch.set_num_threads(options.threads)
    data = Path(options.data).resolve()
    run = RunFolder.named(data, f"quantized-{options.one}-{os.getpid()}")
    try:
        return _of_run(run, data, options)
    finally:
        shutil.rmtree(run.path)


def _of_run(run: RunFolder, data: Path, options: argparse.Namespace) -> dict[str, float]:
    _place(run, data, options.one, SamplingParameters(max_new_tokens=options.tokens, temperature=0))
    placement = recorded_placement(run, detect_hardware())
    assert placement is not None
    loaded = load_placed(run, detect_hardware())
    engine = TransformersEngine(loaded.model, loaded.tokenizer, run.settings.sampling)
    speeds = [_speed(engine, options.rows) for _ in range(options.rounds)]
    return {"weights": placement.measured.memory_bytes, "peak": peak_bytes(), "speed": statistics.median(speeds)}


def _place(run: RunFolder, data: Path, quantization: str, sampling: SamplingParameters) -> None:
    prompts = default_prompts_path()
    with tempfile.TemporaryDirectory() as folder:
        stub = begun_run(Path(folder), prompts).settings
    open_run(run, replace(stub, model="demo", limit=8, quantization=quantization, sampling=sampling), str(prompts))
    prepared = prepare_prompts(PromptOptions(str(prompts), limit=8), run.prompts_table)
    pin_model("demo", None, data, run.model)
    place_model(run, detect_hardware(), prepared)


def _speed(engine: TransformersEngine, rows: int) -> float:
    start = time.perf_counter()
    done = engine.generate(benchmark_requests(rows), lambda: False)
    return sum(completion.completion_tokens or 0 for completion in done) / (time.perf_counter() - start)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32, help="most tokens of a completion")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", help="a data folder with the converted demo model, to save a minute")
    parser.add_argument("--one", choices=QUANTIZATIONS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
