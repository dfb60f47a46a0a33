"""Which dtype and which quantizations a device can do, and what is known to go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from promptmill.errors import ConfigurationError, EngineError
from promptmill.hardware import Gpu, Hardware
from promptmill.placing.checkpoint import Checkpoint
from promptmill.placing.memory import ModelShape

QUANTIZATIONS = ("none", "8bit", "4bit")
"""From the least to the most."""
OVERFLOWING = frozenset({"gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "phi", "t5", "mt5"})
"""Model types whose activations are known to pass float16's 65,504: trained in bfloat16 with large
residuals (Gemma), or so documented on the model's own card (Phi-2, T5)."""
LEAST_CAPABILITY = {"4bit": (6, 0), "8bit": (7, 5)}
"""Of bitsandbytes' kernels: NF4 from Pascal on; LLM.int8 needs Turing's integer tensor cores."""
LEAST_QUANTIZABLE = 0.5
_HALF_ONLY = ("awq", "gptq")  # their kernels compute in float16; transformers casts bfloat16 by itself


def resolve_dtype(wanted: str, hardware: Hardware, checkpoint: Checkpoint | None = None) -> str:
    """The dtype of the computation: as asked for, or what every device at hand does well.

    Raises:
        ConfigurationError: a GPU does not have it.
    """
    if wanted == "auto":
        half_only = checkpoint is not None and checkpoint.method in _HALF_ONLY
        return "float16" if half_only and hardware.gpus else hardware.default_dtype
    lacking = [gpu for gpu in hardware.gpus if wanted == "bfloat16" and not gpu.has_bfloat16]
    if lacking:
        raise ConfigurationError(
            f"The run's dtype is bfloat16, and {lacking[0].name} has none (it came with Ampere). "
            "Ask for newer GPUs, or begin a run of its own with --dtype float16."
        )
    return wanted


def dtype_warnings(dtype: str, shape: ModelShape) -> tuple[str, ...]:
    """What to say about a dtype."""
    if dtype == "float16" and shape.model_type in OVERFLOWING:
        return (
            f"Models of type {shape.model_type} are known to overflow in float16, and rows may end as errors or "
            "nonsense. Use GPUs with bfloat16 (Ampere and later), or --dtype float32 if it fits.",
        )
    return ()


def possible_quantizations(shape: ModelShape, gpus: Sequence[Gpu]) -> tuple[str, ...]:
    """What `auto` may choose among, the least first."""
    if shape.quantizable < LEAST_QUANTIZABLE or find_spec("bitsandbytes") is None:
        return ("none",)
    return tuple(name for name in QUANTIZATIONS if all(can_quantize(gpu, name) for gpu in gpus))


def require_quantization(quantization: str, shape: ModelShape, gpus: Sequence[Gpu]) -> None:
    """See that bitsandbytes can do what was asked for, here and to this model.

    Raises:
        EngineError: the package is missing, or a GPU is too old.
        ConfigurationError: most of the model's weights would not be quantised.
    """
    if quantization not in LEAST_CAPABILITY:
        return
    if find_spec("bitsandbytes") is None:
        raise EngineError(
            f"--quantization {quantization} needs bitsandbytes. "
            "Run `pip install bitsandbytes`, or choose --quantization none."
        )
    unable = [gpu for gpu in gpus if not can_quantize(gpu, quantization)]
    if unable:
        least = ".".join(map(str, LEAST_CAPABILITY[quantization]))
        seen = ".".join(map(str, unable[0].capability))
        others = [name for name in QUANTIZATIONS if can_quantize(unable[0], name)]
        raise EngineError(
            f"--quantization {quantization} needs GPUs of compute capability {least}; {unable[0].name} has {seen}. "
            f"Choose --quantization {' or '.join(others)}, or ask for newer GPUs."
        )
    if shape.quantizable < LEAST_QUANTIZABLE:
        raise ConfigurationError(
            f"--quantization {quantization} would quantise only {shape.quantizable:.0%} of this model's weights: "
            f"transformers keeps the rest of a {shape.model_type} (experts, above all) in tensors that bitsandbytes "
            "does not touch. Choose a checkpoint that comes quantised (AWQ, GPTQ), or --quantization none."
        )


def can_quantize(gpu: Gpu, quantization: str) -> bool:
    """Whether bitsandbytes has kernels for a GPU."""
    return gpu.capability >= LEAST_CAPABILITY.get(quantization, (0, 0))
