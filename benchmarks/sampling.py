"""What choosing tokens costs: by the engine's sampler, and by transformers' own with one stream for all rows.

    python -m benchmarks.sampling MODEL [--rows 64] [--threads 1]

Both choose from the same logits of the model's, by turns; the share is that of a decoding step at so many rows of
100 positions. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from benchmarks.engine_prompts import benchmark_requests
from benchmarks.engine_ways import Ways
from promptmill.engine.contract import Request
from promptmill.engine.packed import packed_linears
from promptmill.engine.rows import Row
from promptmill.engine.sampler import Sampler
from promptmill.sampling import SamplingParameters

LENGTH = 100
CASES: dict[str, tuple[SamplingParameters, LogitsProcessorList | None]] = {
    "greedy": (SamplingParameters(temperature=0), None),
    "temperature 0.7": (
        SamplingParameters(temperature=0.7, top_p=1),
        LogitsProcessorList([TemperatureLogitsWarper(0.7)]),
    ),
    "temperature 0.7, top-p 0.95": (
        SamplingParameters(temperature=0.7, top_p=0.95),
        LogitsProcessorList([TemperatureLogitsWarper(0.7), TopPLogitsWarper(0.95)]),
    ),
    "temperature 0.7, top-k 50": (
        SamplingParameters(temperature=0.7, top_p=1, top_k=50),
        LogitsProcessorList([TemperatureLogitsWarper(0.7), TopKLogitsWarper(50)]),
    ),
}
"""The engine's settings, and the same in transformers' words."""


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    options = _options()
    torch.set_num_threads(options.threads)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(options.model, padding_side="left")
    ids = _ids(Ways(model, tokenizer, 1), options.rows)
    with packed_linears(model):
        logits, step = _step(model, ids)
    rows = [
        Row(Request(position, 7 * position, prompt=""), prompt.tolist(), limit=9) for position, prompt in enumerate(ids)
    ]
    sys.stdout.write(
        f"A step of {options.rows} rows takes {1000 * step:.0f} ms.\n\n"
        "| Sampling | the engine's, ms | transformers', ms | the engine's as a share of the step |\n|---|---|---|---|\n"
    )
    for name, (parameters, processors) in CASES.items():
        sampler = Sampler(parameters)
        own, stock = _by_turns(partial(sampler.choose, logits, rows), partial(_stock, ids, logits, processors))
        sys.stdout.write(f"| {name} | {1000 * own:.1f} | {1000 * stock:.1f} | {100 * own / (step + own):.1f} % |\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _ids(ways: Ways, rows: int) -> Tensor:
    """So many rows of real text, as long as each other: [rows, LENGTH]."""
    text = [token for request in benchmark_requests(128) for token in ways.token_ids(request)]
    return torch.tensor([text[23 * row : 23 * row + LENGTH] for row in range(rows)])


def _step(model: Any, ids: Tensor) -> tuple[Tensor, float]:
    """Logits [rows, vocabulary] of a decoding step, and its seconds."""
    cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
    times = []
    for _ in range(5):
        start = time.perf_counter()
        logits = model(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
        times.append(time.perf_counter() - start)
    return logits, statistics.median(times)


def _stock(ids: Tensor, logits: Tensor, processors: LogitsProcessorList | None) -> list[Any]:
    if processors is None:
        return logits.argmax(-1).tolist()
    weights = processors(ids, logits.clone()).softmax(-1)
    return torch.multinomial(weights, 1)[:, 0].tolist()


def _by_turns(*ways: Callable[[], object], rounds: int = 9) -> list[float]:
    """The median seconds of each."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds + 1):
        for way, found in zip(ways, times, strict=True):
            start = time.perf_counter()
            way()
            found.append(time.perf_counter() - start)
    return [statistics.median(found[1:]) for found in times]


if __name__ == "__main__":
    main()
