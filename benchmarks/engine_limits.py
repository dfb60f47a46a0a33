"""How far the engine is from what this CPU can do with the model, and what the rest is spent on.

    python -m benchmarks.engine_limits MODEL --threads 1

First the limit: the model's own matrix products alone, at the batch that the engine uses for decoding
and in prefill's larger ones, for the benchmark's prompts. Then the engine on the same prompts, by itself and
once under PyTorch's profiler. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.engine_prompts import benchmark_requests
from benchmarks.engine_ways import Ways
from promptmill.engine import attention
from promptmill.engine.contract import Request
from promptmill.engine.packed import packed_linears

PREFILL_ROWS = 1024
COMPILED = "compiled attention"
KINDS = {
    "matrix products": ("mkldnn_linear", "_linear_pointwise", "addmm", "aten::mm", "aten::bmm", "aten::linear"),
    "attention": ("scaled_dot_product", COMPILED),
    "copies (cache, concatenation)": ("copy_", "index_copy", "index_put", "aten::cat", "index_select", "gather"),
    "sampling": ("argmax", "softmax", "sort", "topk", "max"),
    "element-wise (norms, rotary embedding, activation, mask)": (
        "mul", "add", "sub", "rsqrt", "mean", "pow", "silu", "gelu", "neg", "cos", "sin", "where", "masked_fill", "le",
        "ge", "div", "arange", "embedding", "fill_", "norm", "bitwise", "eq", "index",
    ),
}  # fmt: skip


def main() -> None:
    """Print limit, speed, share and profile."""
    options = _options()
    torch.set_num_threads(options.threads)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(options.model, padding_side="left")
    ways = Ways(model, tokenizer, options.tokens)
    asked = benchmark_requests(options.prompts)
    limits, speeds = [], []
    for _ in range(options.rounds):
        limits.append(_products(model, options.rows))
        speeds.append(_engine(ways, asked, options.rows))
    decode, prefill, flops = (statistics.median(values) for values in zip(*limits, strict=True))
    seconds, tokens = statistics.median(pair[0] for pair in speeds), speeds[0][1]
    given = sum(len(ways.token_ids(request)) for request in asked)
    least = tokens * decode + given * prefill
    sys.stdout.write(
        f"{options.threads} thread(s), {options.rows} rows, {given} prompt tokens, {tokens} generated. Matrix products "
        f"alone: {flops / 1e9:.0f} GFLOP/s at {options.rows} rows; for these prompts {least:.1f} s, that is "
        f"{tokens / least:.0f} tokens/s. The engine: {seconds:.1f} s, {tokens / seconds:.0f} tokens/s, "
        f"**{100 * least / seconds:.0f} %** of the limit.\n\n| Spent on | share of the time |\n|---|---|\n"
    )
    for kind, share in _profile(ways, asked, options.rows):
        sys.stdout.write(f"| {kind} | {100 * share:.0f} % |\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128, help="most tokens of a completion")
    return parser.parse_args()


@torch.inference_mode()
def _products(model: Any, rows: int) -> tuple[float, float, float]:
    """Seconds a token of all linear layers, at `rows` rows and in prefill, and FLOP/s at `rows`."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    flops = sum(2 * layer.in_features * layer.out_features for layer in layers)
    with packed_linears(model):
        decode = _seconds(layers, rows) / rows
        # Prefill computes logits for no position but the last: without the largest layer.
        head = model.get_output_embeddings()
        prefill = _seconds([layer for layer in layers if layer is not head], PREFILL_ROWS) / PREFILL_ROWS
    return decode, prefill, flops / decode


def _seconds(layers: Sequence[nn.Linear], rows: int) -> float:
    inputs = {layer.in_features: torch.randn(rows, layer.in_features) for layer in layers}
    times = []
    for _ in range(4):
        start = time.perf_counter()
        for layer in layers:
            layer(inputs[layer.in_features])
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _engine(ways: Ways, asked: Sequence[Request], rows: int) -> tuple[float, int]:
    start = time.perf_counter()
    tokens = ways.engine(asked, "slots", rows)
    return time.perf_counter() - start, tokens


def _profile(ways: Ways, asked: Sequence[Request], rows: int) -> list[tuple[str, float]]:
    start = time.perf_counter()
    # The profiler knows PyTorch's operations alone.
    attend = record_function(COMPILED)(attention.attend)
    with patch.object(attention, "attend", attend), profile(activities=[ProfilerActivity.CPU]) as profiler:
        ways.engine(asked, "slots", rows)
    whole = time.perf_counter() - start
    spent: Counter[str] = Counter()
    for event in profiler.key_averages():
        spent[_kind(event.key)] += event.self_cpu_time_total / 1e6
    shares = [(kind, seconds / whole) for kind, seconds in spent.most_common()]
    return [*shares, ("Python between the operations", 1 - sum(share for _, share in shares))]


def _kind(name: str) -> str:
    for kind, parts in KINDS.items():
        if any(part in name for part in parts):
            return kind
    return "other operations (views, allocation)"


if __name__ == "__main__":
    main()
