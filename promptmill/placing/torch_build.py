"""Whether the torch that is installed can use the GPUs that the driver shows; nothing falls back by itself."""

from __future__ import annotations

import os

from promptmill.errors import EngineError
from promptmill.hardware import VISIBLE

_TO_CPU = f"or set {VISIBLE}= (empty) to use the CPU knowingly"


def require_gpu_build() -> None:
    """See that torch is a build for GPUs; asks no device, so that they can still be chosen afterwards.

    Raises:
        EngineError: it is one for the CPU alone, and what to install or set.
    """
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        raise EngineError(
            f"This machine has GPUs, but torch {torch.__version__} is a build for the CPU alone. Install one for CUDA, "
            "as in `pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126`, "
            f"{_TO_CPU}."
        )


def require_gpus(count: int) -> None:
    """See that torch can use the GPUs that the driver shows; nothing falls back to the CPU by itself.

    Raises:
        EngineError: it cannot, and what to install or set.
    """
    import torch

    require_gpu_build()
    if torch.cuda.device_count() < count or not torch.cuda.is_available():
        raise EngineError(
            f"The driver shows GPUs, but torch {torch.__version__} (CUDA {torch.version.cuda}) sees "
            f"{torch.cuda.device_count()} of the {count} it needs. `python -c 'import torch; torch.cuda.init()'` says "
            f"why; most often the driver is older than this CUDA: install a torch for an older one, {_TO_CPU}."
        )


def require_no_hidden_gpus() -> None:
    """See that the CPU is all there is, where the driver was asked and showed no GPU.

    Raises:
        EngineError: torch sees GPUs that NVIDIA's driver library does not show (AMD's, or a broken library).
    """
    import torch

    if os.environ.get(VISIBLE) != "" and torch.cuda.is_available():
        raise EngineError(
            f"torch sees {torch.cuda.device_count()} GPU(s) here ({torch.cuda.get_device_name(0)}), but NVIDIA's "
            "driver library (NVML) shows none, and promptmill plans by that. Repair the driver (nvidia-smi has to "
            f"work), or set {VISIBLE}= (empty) to use the CPU knowingly. AMD GPUs cannot be planned for yet."
        )
