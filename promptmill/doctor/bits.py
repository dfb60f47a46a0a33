"""Whether bitsandbytes works for real: a small matrix is quantised, and multiplied with, on each device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from promptmill.doctor.values import Finding
from promptmill.hardware import detect_hardware
from promptmill.placing.choices import can_quantize

_ROWS, _COLUMNS = 64, 128
_WRONG = 0.2
"""Part of a product that may be lost: NF4 loses a tenth of normally distributed values, LLM.int8 a hundredth."""
_DO = (
    "pip install --force-reinstall bitsandbytes; `python -m bitsandbytes` says more. "
    "Without it: --quantization none, or a checkpoint that comes quantised."
)

MakeLayer = Callable[[str, Any], Any]
"""A linear layer, from the name of a quantization and weights of shape [outputs, inputs]."""


def check_cpu(make_layer: MakeLayer | None = None) -> list[Finding]:
    """On the CPU; `make_layer` makes the layers that are tried, bitsandbytes if it is None."""
    return [_tried("cpu", "bitsandbytes CPU", ("4bit", "8bit"), make_layer or _layer)]


def check_gpus() -> list[Finding]:
    """On each GPU, as far as it has the kernels; nothing where there is none."""
    return [
        _tried(
            f"cuda:{number}",
            f"bitsandbytes GPU {number}",
            tuple(name for name in ("4bit", "8bit") if can_quantize(gpu, name)),
            _layer,
        )
        for number, gpu in enumerate(detect_hardware().gpus)
    ]


def _tried(device: str, check: str, quantizations: tuple[str, ...], make_layer: MakeLayer) -> Finding:
    from importlib.metadata import version

    wrong = [text for name in quantizations if (text := _trouble(name, device, make_layer)) is not None]
    if wrong:
        return Finding(check, "fail", "; ".join(wrong), _DO)
    done = " and ".join(quantizations) or "nothing, as this GPU is too old,"
    return Finding(check, "pass", f"{version('bitsandbytes')} quantises {done} and computes with it")


def _trouble(quantization: str, device: str, make_layer: MakeLayer) -> str | None:
    """What is wrong with a quantization; None if nothing is."""
    import torch

    try:
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(_ROWS, _COLUMNS, generator=generator)
        inputs = torch.randn(4, _COLUMNS, generator=generator)
        wanted = inputs @ weights.T
        dtype = torch.float32 if device == "cpu" else torch.float16
        with torch.inference_mode():
            got = make_layer(quantization, weights.to(dtype)).to(device)(inputs.to(device, dtype)).float().cpu()
    except Exception as error:  # whatever it raises, that is the finding
        return f"{quantization}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    lost = float((got - wanted).norm() / wanted.norm())
    return None if lost < _WRONG else f"{quantization}: products are off by {lost:.0%}"


def _layer(quantization: str, weights: Any) -> Any:
    import bitsandbytes

    rows, columns = weights.shape
    nn = bitsandbytes.nn
    if quantization == "8bit":
        layer = nn.Linear8bitLt(columns, rows, bias=False, has_fp16_weights=False)
        layer.weight = nn.Int8Params(weights, has_fp16_weights=False, requires_grad=False)
        return layer
    layer = nn.Linear4bit(columns, rows, bias=False, quant_type="nf4", compute_dtype=weights.dtype)
    layer.weight = nn.Params4bit(weights, requires_grad=False, quant_type="nf4")
    return layer
