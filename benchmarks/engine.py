"""Compares the ways to generate with one model, side by side, and prints a Markdown table.

    python -m benchmarks.engine MODEL --threads 1 [--vllm .venv-vllm/bin/python]

With --vllm both engines run on the same prompts: transformers' with and without promptmill, and vLLM's.
MODEL is a folder or a name on the Hub, for instance the demo model. Each round runs all ways in turn, and
the table has the medians over the rounds. On a machine that others use too, go by the tokens per second
of processor time: divided by the threads, they are what a quiet machine would come to.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.engine_prompts import benchmark_requests
from benchmarks.engine_ways import Way, Ways
from promptmill.engine.contract import Request

SLOW = ("one at a time", "pipeline, 8")


def main() -> None:
    """Run the rounds, and print the table after each."""
    options = _options()
    torch.set_num_threads(options.threads)
    asked = benchmark_requests(options.prompts)
    speeds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with ExitStack() as stack:
        ways = _ways(options, asked, stack)
        for _ in range(options.rounds):
            for name, way in ways.items():
                speeds[name].append(_timed(name, way, asked[:: options.skip] if name in SLOW else asked))
    sys.stdout.write(_table(speeds, options))


def _timed(name: str, way: Way, asked: Sequence[Request]) -> tuple[float, float]:
    start, before = time.perf_counter(), time.process_time()
    generated = way(asked)
    seconds, processor = time.perf_counter() - start, time.process_time() - before
    # A way in another process tells its processor time itself.
    tokens, processor = generated if isinstance(generated, tuple) else (generated, processor)
    sys.stderr.write(f"{name}: {tokens} tokens in {seconds:.0f} s, {processor:.0f} s of processor time\n")
    return tokens / seconds, tokens / processor


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128, help="most tokens of a completion")
    parser.add_argument("--skip", type=int, default=4, help="the slowest ways run on every n-th prompt only")
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of the ways to run")
    parser.add_argument("--rows", type=int, default=64, help="most rows at a time in vLLM")
    parser.add_argument("--vllm", metavar="PYTHON", help="of .venv-vllm, as `make test-vllm` makes it")
    return parser.parse_args()


def _ways(options: argparse.Namespace, asked: Sequence[Request], stack: ExitStack) -> dict[str, Way]:
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(options.model, padding_side="left")
    ways = Ways(model, tokenizer, options.tokens)
    named = {name: way for name, way in ways.named().items() if _wanted(name, options)}
    if options.vllm:
        sizes = ["--threads", str(options.threads), "--tokens", str(options.tokens), "--rows", str(options.rows)]
        if _wanted(alone := f"vLLM alone, {options.rows}", options):
            named[alone] = stack.enter_context(_vllm(options, ways, asked, sizes))
        if _wanted(ours := f"promptmill, vLLM, {options.rows}", options):
            command = ["-m", "benchmarks.vllm_engine", options.model, "--prompts", str(options.prompts), *sizes]
            named[ours] = stack.enter_context(_answering([options.vllm, *command], options))
    return named


def _wanted(name: str, options: argparse.Namespace) -> bool:
    return not options.only or any(part in name for part in options.only)


@contextmanager
def _vllm(options: argparse.Namespace, ways: Ways, asked: Sequence[Request], sizes: Sequence[str]) -> Iterator[Way]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([ways.token_ids(request) for request in asked], file)
        file.flush()
        script = Path(__file__).with_name("vllm_cpu.py")
        with _answering([options.vllm, str(script), options.model, file.name, *sizes], options) as way:
            yield way


@contextmanager
def _answering(command: Sequence[str], options: argparse.Namespace) -> Iterator[Way]:
    """A way in a process of its own, which answers a line with tokens and seconds of processor time."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit("vLLM did not start; what it said is above.")
        yield lambda _: _answer(process)
        process.stdin.close()


def _answer(process: subprocess.Popen[str]) -> tuple[int, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    tokens, processor = process.stdout.readline().split()
    return int(tokens), float(processor)


def _table(speeds: dict[str, list[tuple[float, float]]], options: argparse.Namespace) -> str:
    head = f"| Way ({options.prompts} prompts, up to {options.tokens} tokens, {options.threads} thread(s)) |"
    lines = [f"{head} tokens/s | per second of processor time | times the first |", "|---|---|---|---|"]
    first = 0.0
    for name, pairs in speeds.items():
        wall, processor = (statistics.median(values) for values in zip(*pairs, strict=True))
        first = first or processor
        lines.append(f"| {name} | {wall:.1f} | {processor:.1f} | {processor / first:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
