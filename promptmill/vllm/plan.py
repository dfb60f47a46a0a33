"""What vLLM is told about a model and the machine: decided by the same arithmetic as for transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from promptmill.errors import ConfigurationError, EngineError
from promptmill.placing.checkpoint import Checkpoint
from promptmill.placing.decision import Arithmetic, Decision
from promptmill.placing.memory import GIB
from promptmill.placing.options import PlacementOptions

CPU_CACHE_BYTES = 4 * GIB
"""Most memory for keys and values on a CPU, as with the transformers engine."""
LEAST_CACHE_BYTES = 64 << 20
_CPU_BLOCK = 128
"""Positions that vLLM hands out at a time on a CPU."""
QUANTISED_BY_US = "4bit"

CPU_ROWS = 256
"""Most rows that vLLM computes at a time on a CPU."""

Decide = Callable[[PlacementOptions, str], Decision]


@dataclass(frozen=True)
class VllmPlan:
    """How vLLM loads a model.

    Attributes:
        dtype: float32, float16 or bfloat16.
        quantization: `none`, `4bit` (bitsandbytes), or what the weights come as.
        gpus: that one copy is spread over, each layer over all of them; 0 for a CPU.
        memory_share: of each of these GPUs' memory that vLLM may take; None on a CPU.
        cache_bytes: for keys and values on a CPU; None on GPUs, where they get what the weights leave.
    """

    folder: str
    dtype: str
    quantization: str
    gpus: int
    memory_share: float | None
    cache_bytes: int | None

    def arguments(self) -> dict[str, Any]:
        """The arguments of `vllm.EngineArgs`."""
        known: dict[str, Any] = {
            "model": self.folder,
            "dtype": self.dtype,
            "load_format": "safetensors",  # pickles can run code
            "max_model_len": -1,  # the model's own, or what memory has room for
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
        }
        if self.quantization == QUANTISED_BY_US:
            known |= {"quantization": "bitsandbytes", "load_format": "bitsandbytes"}
        if self.gpus:
            return known | {"tensor_parallel_size": self.gpus, "gpu_memory_utilization": self.memory_share}
        return known | {
            "kv_cache_memory_bytes": self.cache_bytes,
            # Compiling takes minutes and needs a C++ compiler; without it the same model starts in seconds.
            "enforce_eager": True,
            # vLLM 0.32 takes back a seeded row's random numbers after a part of its prompt, which a CPU's generator
            # cannot do ("CPU Generator does not use offset").
            "enable_chunked_prefill": False,
        }


def cpu_cache_bytes(sums: Arithmetic, processes: int) -> int:
    """Memory for keys and values on a CPU: what as many rows as are computed at a time need, if there is so much.

    Args:
        processes: how many share the machine's memory, each with weights of its own.

    Raises:
        EngineError: that many copies of the weights do not fit.
    """
    left = min(sums.usable) // processes - sums.weights
    if left <= 0:
        raise EngineError(
            f"{processes} processes with {sums.weights / GIB:.1f} GiB of weights each do not fit into "
            f"{min(sums.usable) / GIB:.1f} GiB of memory. Choose a smaller --workers."
        )
    positions = -(-sums.positions // _CPU_BLOCK) * _CPU_BLOCK
    wanted = CPU_ROWS * positions * sums.kv_cache_token + 2 * sums.kv_cache_row
    return min(CPU_CACHE_BYTES, left // 2, max(wanted, LEAST_CACHE_BYTES))


def decide_for_vllm(
    decide: Decide, options: PlacementOptions, quantization: str, checkpoint: Checkpoint, *, gpus: int
) -> Decision:
    """The placement that vLLM can do: all of the model on GPUs, as many as its attention heads can be shared by.

    Args:
        decide: the decision for transformers, told options and quantization; nothing is loaded.
        gpus: at hand.

    Raises:
        ConfigurationError: the options ask for what vLLM does not do.
        EngineError: the model fits only with parts of it elsewhere, or comes in a form that vLLM does not read.
    """
    if checkpoint.gguf is not None:
        raise EngineError(
            f"{checkpoint.folder} holds a GGUF file, which --engine vllm does not read. Choose the model's own "
            "repository with safetensors, or --engine transformers."
        )
    decision = decide(options, quantization)
    if quantization == "auto" and decision.quantization == "8bit":  # vLLM has no 8-bit weights of bitsandbytes' kind
        decision = decide(options, QUANTISED_BY_US)
    if decision.quantization == QUANTISED_BY_US and not decision.gpus_per_copy:
        raise EngineError(
            "vLLM's 4-bit weights need a GPU, and here is none. Choose --quantization none, or --engine transformers, "
            "which has them on a CPU too."
        )
    heads = attention_heads(checkpoint)
    if decision.gpus_per_copy > 1 and heads % decision.gpus_per_copy:
        decision = _shared_evenly(decide, options, decision, heads, gpus)
    if decision.kind in ("cpu-offload", "disk-offload"):
        raise EngineError(
            f"vLLM keeps the whole model where it computes, and {decision.arithmetic.weights / GIB:.1f} GiB of weights "
            "do not fit there. Choose --quantization 4bit, more or larger GPUs (`promptmill fit MODEL` lists them), "
            "or --engine transformers, which can keep a part in host memory."
        )
    return decision


def _shared_evenly(decide: Decide, options: PlacementOptions, decision: Decision, heads: int, gpus: int) -> Decision:
    """The same over the next number of GPUs that the heads can be shared by."""
    possible = [count for count in range(2, gpus + 1) if heads % count == 0]
    if options.gpus_per_copy is not None:
        choices = " or ".join(map(str, [1, *possible]))
        raise ConfigurationError(
            f"--gpus-per-copy is {options.gpus_per_copy}; vLLM shares out the model's {heads} attention heads, "
            f"so choose {choices}, or --engine transformers."
        )
    more = next((count for count in possible if count > decision.gpus_per_copy), None)
    if more is None:
        raise EngineError(
            f"The model needs {decision.gpus_per_copy} GPUs, and vLLM cannot share its {heads} attention heads among "
            f"so many or all {gpus}. Choose --quantization 4bit, or --engine transformers."
        )
    return decide(replace(options, gpus_per_copy=more), decision.quantization)


def attention_heads(checkpoint: Checkpoint) -> int:
    """How many attention heads the model has; 0, which any number divides, where its configuration has no such word."""
    from transformers import AutoConfig

    text = AutoConfig.from_pretrained(str(checkpoint.folder)).get_text_config(decoder=True)
    return int(getattr(text, "num_attention_heads", 0) or 0)
