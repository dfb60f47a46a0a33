"""Compares the ways to generate with one model, side by side, and prints a Markdown table.

    python -m benchmarks.engine MODEL --threads 1

MODEL is a folder or a name on the Hub, for instance the demo model. Each round runs all ways in turn, and
the table has the medians over the rounds. On a machine that others use too, go by the tokens per second
of processor time: divided by the threads, they are what a quiet machine would come to.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.engine_prompts import benchmark_requests
from benchmarks.engine_ways import Way, Ways


def main() -> None:
    """Run the rounds, and print the table after each."""
    options = _options()
    torch.set_num_threads(options.threads)
    ways, names = _ways(options)
    asked = benchmark_requests(options.prompts)
    speeds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(options.rounds):
        for name in names:
            some = asked[:: options.skip] if name == "one at a time" else asked
            start, processor = time.perf_counter(), time.process_time()
            tokens = ways[name](some)
            seconds, processor = time.perf_counter() - start, time.process_time() - processor
            speeds[name].append((tokens / seconds, tokens / processor))
            sys.stderr.write(f"{name}: {tokens} tokens in {seconds:.0f} s, {processor:.0f} s of processor time\n")
    sys.stdout.write(_table(speeds, options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128, help="most tokens of a completion")
    parser.add_argument("--skip", type=int, default=4, help="one at a time runs on every n-th prompt only")
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of the ways to run")
    return parser.parse_args()


def _ways(options: argparse.Namespace) -> tuple[dict[str, Way], list[str]]:
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(options.model, padding_side="left")
    ways = Ways(model, tokenizer, options.tokens).named()
    return ways, [name for name in ways if not options.only or any(part in name for part in options.only)]


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
