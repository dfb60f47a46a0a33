"""The engine on a GPU, beside the other ways, against the device's limits and the memory that was planned.

    python -m benchmarks.gpu [--models 1b 7b] [--quantizations none 4bit]

Needs torch, transformers, accelerate and this repository, and bitsandbytes for the quantised lines: no
network and no model files. Weights are random, as speed does not depend on their values; so that rows end
at different lengths, as real ones do, a share of the vocabulary counts as the end of a row, and rows
are sampled. Limits are measured, not taken from a data sheet. Prints Markdown.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from promptmill.engine.contract import Request
from promptmill.engine.transformers import TransformersEngine
from promptmill.placing.memory import GIB, Workload, estimate
from promptmill.placing.shape import skeleton
from promptmill.sampling import SamplingParameters, row_seed

# Hidden size, width of the MLP, layers, heads, KV heads, vocabulary: of Llama-3.2-1B and Llama-2-7b.
SIZES = {
    "tiny": (64, 128, 2, 4, 2, 512),
    "1b": (2048, 8192, 16, 32, 8, 128_256),
    "7b": (4096, 11_008, 32, 32, 32, 32_000),
}
SLOTS = (32, 64, 128, 256)
MiB = 1 << 20


@dataclass(frozen=True)
class Bench:
    """A model with its prompts; tokens of a row end after `tokens / 2` on average."""

    model: Any
    tokenizer: Any
    prompts: list[str]
    tokens: int

    def one_at_a_time(self) -> int:
        """`generate` without a batch, on every eighth prompt."""
        return sum(self._generate([prompt]) for prompt in self.prompts[::8])

    def static(self, size: int) -> int:
        """`generate` on batches of prompts of like length."""
        ordered = sorted(self.prompts, key=len)
        return sum(self._generate(ordered[start : start + size]) for start in range(0, len(ordered), size))

    def in_flight(self, size: int) -> int:
        """Our engine."""
        sampling = SamplingParameters(max_new_tokens=self.tokens, temperature=1, top_p=1)
        engine = TransformersEngine(self.model, self.tokenizer, sampling, batch_size=size)
        asked = [Request(place, row_seed(0, str(place), 0), prompt=text) for place, text in enumerate(self.prompts)]
        done = list(engine.generate(asked, lambda: False))
        if errors := [row.error for row in done if row.finish_reason == "error"]:
            raise RuntimeError(errors[0])
        return sum(row.completion_tokens for row in done)

    def continuous(self) -> int:
        """The continuous batching of transformers."""
        from transformers import ContinuousBatchingConfig

        settings = self._settings()
        ids = [self.tokenizer(prompt)["input_ids"] for prompt in self.prompts]
        # Its share of a GPU's memory is its own to choose; of a machine's it would take and fill most.
        share = None if self.model.device.type == "cuda" else 0.02
        answers = self.model.generate_batch(
            inputs=ids,
            generation_config=settings,
            continuous_batching_config=ContinuousBatchingConfig(max_memory_percent=share),
            progress_bar=False,
        )
        if len(answers) < len(ids):
            raise RuntimeError(f"{len(ids) - len(answers)} rows are missing")
        return sum(len(answer.generated_tokens) for answer in answers.values())

    def _generate(self, prompts: Sequence[str]) -> int:
        inputs = self.tokenizer(list(prompts), return_tensors="pt", padding=True).to(self.model.device)
        output = self.model.generate(**inputs, generation_config=self._settings())[:, inputs["input_ids"].shape[1] :]
        ended = torch.isin(output, torch.tensor(self._settings().eos_token_id, device=output.device)).long()
        return int((ended.cumsum(-1) - ended == 0).sum())

    def _settings(self) -> Any:
        from transformers import GenerationConfig

        return GenerationConfig(
            max_new_tokens=self.tokens,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            pad_token_id=0,
            eos_token_id=self.model.generation_config.eos_token_id,
        )


def main() -> None:
    """All models in all quantizations."""
    options = _options()
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = torch.bfloat16 if device.type == "cuda" and torch.cuda.get_device_capability() >= (8, 0) else None
    dtype = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
    bandwidth, flops = _bandwidth(device), _flops(device, dtype)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    sys.stdout.write(
        f"{name}, torch {torch.__version__}, {str(dtype).removeprefix('torch.')}; measured: "
        f"{bandwidth / 1e9:,.0f} GB/s, {flops / 1e12:,.2f} TFLOP/s. {options.prompts} prompts, up to "
        f"{options.tokens} tokens, medians of {options.rounds}.\n"
    )
    for size in options.models:
        for quantization in options.quantizations:
            for line in _lines(size, quantization, device, dtype, (bandwidth, flops), options):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=SIZES, default=["1b", "7b"])
    parser.add_argument("--quantizations", nargs="+", choices=["none", "8bit", "4bit"], default=["none", "4bit"])
    parser.add_argument("--device", help="default: cuda if there is one, else cpu")
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=256, help="most tokens of a completion")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _lines(
    size: str,
    quantization: str,
    device: torch.device,
    dtype: torch.dtype,
    limits: tuple[float, float],
    options: argparse.Namespace,
) -> Iterator[str]:
    bench = _bench(size, quantization, device, dtype, options)
    weights = bench.model.get_memory_footprint()
    count = sum(weight.numel() for weight in bench.model.parameters()) if quantization == "none" else None
    yield f"\n**Llama {size}, {quantization}**, {weights / GIB:.2f} GiB of weights\n"
    yield "| Way | tokens/s | times the first | peak GiB | planned GiB | share of the limit |"
    yield "|---|---|---|---|---|---|"
    first = 0.0
    for name, way, rows in _ways(bench):
        try:
            speed, peak = _median(way, options.rounds, device)
        except Exception as error:  # a way that does not work is a result too
            yield f"| {name} | failed: {type(error).__name__}: {' '.join(str(error).split())[:80]} | | | | |"
            continue
        first = first or speed
        share = ""
        if rows == 1:
            share = f"{100 * speed * weights / limits[0]:.0f} % of the bandwidth"
        elif count is not None:
            share = f"{100 * speed * 2 * count / limits[1]:.0f} % of the FLOP/s"
        planned = _planned(bench, dtype, quantization, rows) if name.startswith("promptmill") else None
        peaks = f"{peak / GIB:.2f}" if peak else ""
        plan = f"{planned / GIB:.2f}" if planned else ""
        yield f"| {name} | {speed:,.1f} | {speed / first:.1f} | {peaks} | {plan} | {share} |"


def _ways(bench: Bench) -> Iterator[tuple[str, Callable[[], int], int]]:
    yield "one at a time", bench.one_at_a_time, 1
    for size in (16, 64):
        yield f"generate, sorted, {size}", lambda size=size: bench.static(size), size
    yield "generate_batch (continuous)", bench.continuous, 64
    for size in SLOTS:
        yield f"promptmill, in flight, {size}", lambda size=size: bench.in_flight(size), size


def _median(way: Callable[[], int], rounds: int, device: torch.device) -> tuple[float, int]:
    """Tokens a second, and the peak of memory in bytes (0 on a CPU); the first call warms up and does not count."""
    way()
    speeds = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(rounds):
        start = time.perf_counter()
        tokens = way()
        if device.type == "cuda":
            torch.cuda.synchronize()
        speeds.append(tokens / (time.perf_counter() - start))
    return statistics.median(speeds), torch.cuda.max_memory_allocated() if device.type == "cuda" else 0


def _planned(bench: Bench, dtype: torch.dtype, quantization: str, rows: int) -> int:
    """What the placement plans for so many rows, without the context, which PyTorch does not count."""
    lengths = sorted(len(prompt.split()) for prompt in bench.prompts)
    workload = Workload(lengths[int(0.95 * (len(lengths) - 1))], bench.tokens, lengths[-1])
    name = str(dtype).removeprefix("torch.")
    shape = skeleton(bench.model.config).shape
    return estimate(shape, name, quantization, rows=rows, workload=workload, gpu=False).total


def _bench(
    size: str, quantization: str, device: torch.device, dtype: torch.dtype, options: argparse.Namespace
) -> Bench:
    hidden, width, layers, heads, kv_heads, vocabulary = SIZES[size]
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=vocabulary,
        max_position_embeddings=4096,
        tie_word_embeddings=size == "1b",
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    if quantization != "none":
        model = _quantised(model, quantization, device, dtype)
    # Rows are sampled from an almost even distribution: so many ends make them half as long as allowed.
    model.generation_config.eos_token_id = list(range(1, 1 + max(1, 2 * vocabulary // options.tokens)))
    return Bench(model, _tokenizer(vocabulary), _prompts(options.prompts, vocabulary), options.tokens)


def _quantised(model: Any, quantization: str, device: torch.device, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_8bit=quantization == "8bit",
        load_in_4bit=quantization == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        del model
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        place = {"": 0 if device.type == "cuda" else "cpu"}
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, quantization_config=settings, device_map=place
        ).eval()


def _tokenizer(vocabulary: int) -> Any:
    words = {"<pad>": 0, **{f"w{number}": number for number in range(1, vocabulary)}}
    plain = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", padding_side="left")


def _prompts(count: int, vocabulary: int) -> list[str]:
    """Most are short, a few long, as in the benchmark on a CPU; none holds a word that ends a row."""
    chance = random.Random(20)
    lengths = (min(1500, int(chance.lognormvariate(4.3, 0.8)) + 4) for _ in range(count))
    words = range(vocabulary // 2, vocabulary)
    return [" ".join(f"w{word}" for word in chance.choices(words, k=length)) for length in lengths]


def _bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written."""
    values = torch.zeros((256 if device.type == "cpu" else 2048) * MiB // 4, device=device)
    return 2 * values.nbytes / _fastest(lambda: values.add_(1), device)


def _flops(device: torch.device, dtype: torch.dtype) -> float:
    side = 1024 if device.type == "cpu" else 8192
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / _fastest(lambda: one @ other, device)


def _fastest(work: Callable[[], Any], device: torch.device) -> float:
    times = []
    for _ in range(6):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


if __name__ == "__main__":
    main()
