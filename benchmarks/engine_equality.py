"""Measures how many rows come out the same in batches of 1, 8 and 64, and prints a Markdown table.

python -m benchmarks.engine_equality MODEL --prompts 64 --tokens 64

Any that differ do so because rounding differs with the shape of a batch, which turns near ties.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.engine_prompts import benchmark_requests
from promptmill.engine.transformers import TransformersEngine
from promptmill.sampling import SamplingParameters

SIZES = (1, 8, 64)


def main() -> None:
    """Generate the same rows in each batch size, greedily and sampled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=getattr(torch, options.dtype))
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    lines = ["| Sampling | rows that differ from batch size 1: at 8 | at 64 |", "|---|---|---|"]
    for name, sampling in (
        ("greedy", SamplingParameters(max_new_tokens=options.tokens, temperature=0)),
        ("temperature 0.7, top-p 0.95", SamplingParameters(max_new_tokens=options.tokens)),
    ):
        texts = [_responses(model, tokenizer, sampling, size, options.prompts) for size in SIZES]
        differ = [sum(one != other for one, other in zip(texts[0], some, strict=True)) for some in texts[1:]]
        lines.append(f"| {name} | {differ[0]} of {options.prompts} | {differ[1]} of {options.prompts} |")
    sys.stdout.write("\n".join(lines) + "\n")


def _responses(model: Any, tokenizer: Any, sampling: SamplingParameters, size: int, prompts: int) -> list[str]:
    engine = TransformersEngine(model, tokenizer, sampling, batch_size=size)
    completions = engine.generate(benchmark_requests(prompts), lambda: False)
    return [done.response for done in sorted(completions, key=lambda done: done.position)]


if __name__ == "__main__":
    main()
