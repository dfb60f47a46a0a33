"""Named models from their published configs, machines of made-up GPUs, and questions about both."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from promptmill.hardware import Gpu, Hardware
from promptmill.placing.case import Case
from promptmill.placing.choices import resolve_dtype
from promptmill.placing.memory import GIB, MIB, Workload
from promptmill.placing.options import PlacementOptions
from promptmill.placing.shape import Skeleton, skeleton
from promptmill.placing.split import Splitter

CONFIGS = Path(__file__).parent / "configs"
HOST = 64 * GIB
WORKLOAD = Workload(prompt_tokens=256, new_tokens=256)

PUBLISHED = {
    "gpt2": 124_439_808,
    "smollm2-135m": 134_515_008,
    "qwen2.5-0.5b": 494_032_768,
    "tinyllama-1.1b": 1_100_048_384,
    "gemma-2b": 2_506_172_416,
    "phi-2": 2_779_683_840,
    "phi-3-mini": 3_821_079_552,
    "llama-2-7b": 6_738_415_616,
    "mistral-7b-v0.1": 7_241_732_096,
    "qwen2.5-7b": 7_615_616_512,
    "llama-3-8b": 8_030_261_248,
    "gemma-2-9b": 9_241_705_984,
    "llama-2-13b": 13_015_864_320,
    "mixtral-8x7b": 46_702_792_704,
    "llama-2-70b": 68_976_648_192,
}
"""Parameters as the models' pages on the Hub count them ("Model size", from the safetensors)."""


def gpus(count: int, name: str, free_mib: int, capability: tuple[int, int]) -> tuple[Gpu, ...]:
    """So many GPUs of a type; 2 % of their memory is the driver's."""
    total = int(free_mib * MIB / 0.98)
    return tuple(Gpu(name, free_mib * MIB, total, capability, f"GPU-{name}-{number}") for number in range(count))


def t4(count: int) -> tuple[Gpu, ...]:
    """Turing, 15,360 MiB, of which 15,000 are free."""
    return gpus(count, "Tesla T4", 15_000, (7, 5))


def rtx6000(count: int) -> tuple[Gpu, ...]:
    """Turing, 24,576 MiB, of which 24,000 are free."""
    return gpus(count, "Quadro RTX 6000", 24_000, (7, 5))


def a100(count: int) -> tuple[Gpu, ...]:
    """Ampere, 40,960 MiB, of which 40,000 are free."""
    return gpus(count, "NVIDIA A100-SXM4-40GB", 40_000, (8, 0))


MACHINES = {
    "1×T4": t4(1),
    "6×T4": t4(6),
    "2×RTX 6000": rtx6000(2),
    "4×A100-40": a100(4),
    "mixed": (*rtx6000(2), *t4(2)),
}


def machine(name: str) -> Hardware:
    """A machine by its name in the table."""
    return Hardware(MACHINES[name], cores=16, host_bytes=HOST)


def config_named(name: str) -> Any:
    """The published config of a model."""
    value = json.loads((CONFIGS / f"{name}.json").read_text())
    return AutoConfig.for_model(value.pop("model_type"), **value)


@cache
def skeleton_named(name: str) -> Skeleton:
    """A named model on the meta device."""
    return skeleton(config_named(name))


def case_of(
    model: str,
    hardware: Hardware,
    quantization: str = "none",
    *,
    dtype: str = "auto",
    options: PlacementOptions | None = None,
    workload: Workload = WORKLOAD,
) -> Case:
    """A question about a named model."""
    bones = skeleton_named(model)
    return Case(
        bones.shape,
        hardware,
        options or PlacementOptions(),
        workload.within(bones.shape.context),
        resolve_dtype(dtype, hardware),
        quantization,
        Splitter(bones, bones.shape),
    )
