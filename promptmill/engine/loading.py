"""Loading a model for generation, once a process."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from promptmill.errors import EngineError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadPlan:
    """Which model to load and how.

    Attributes:
        dtype: float32, float16 or bfloat16.
        quantization: none, 8bit or 4bit (bitsandbytes).
        device: `cpu` or `cuda:0`.
    """

    folder: str
    dtype: str
    quantization: str
    device: str


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to generate, and what loading it took.

    Attributes:
        memory_bytes: of parameters and buffers, as they lie on the device.
    """

    model: Any
    tokenizer: Any
    load_seconds: float
    memory_bytes: int


@lru_cache(maxsize=1)
def load_model(plan: LoadPlan) -> LoadedModel:
    """Load a model and its tokenizer; asked again with the same plan, the process gets the same one.

    Raises:
        EngineError: the files hold no causal language model that can be loaded like this.
    """
    start = time.monotonic()
    try:
        tokenizer, model = _load(plan)
    except ImportError as error:
        raise EngineError(f"{plan.folder} needs a package that is not installed: {error}") from error
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise EngineError(f"The model in {plan.folder} cannot be loaded: {_first_lines(error)}") from error
    loaded = LoadedModel(model, tokenizer, time.monotonic() - start, model.get_memory_footprint())
    logger.info(
        "Loaded %s as %s%s on %s in %.1f s, %.2f GB.",
        plan.folder,
        plan.dtype,
        "" if plan.quantization == "none" else f" {plan.quantization}",
        plan.device,
        loaded.load_seconds,
        loaded.memory_bytes / 1e9,
    )
    return loaded


def load_tokenizer(folder: str) -> Any:
    """The tokenizer alone, for what needs no weights.

    Raises:
        EngineError: there is none that can be loaded.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, ImportError) as error:
        raise EngineError(f"The tokenizer in {folder} cannot be loaded: {_first_lines(error)}") from error


def _load(plan: LoadPlan) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(plan.folder)
    dtype = getattr(torch, plan.dtype)
    model = AutoModelForCausalLM.from_pretrained(
        plan.folder,
        dtype=dtype,
        device_map={"": plan.device},
        quantization_config=_quantization(plan.quantization, dtype),
        use_safetensors=True,
    )
    return tokenizer, model.eval()


def _quantization(name: str, dtype: Any) -> Any:
    from transformers import BitsAndBytesConfig

    if name == "none":
        return None
    if name == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _first_lines(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
