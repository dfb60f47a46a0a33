"""Loading a model for generation, once a process."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from promptmill.collecting import few_collections
from promptmill.engine.adapting import adapted
from promptmill.engine.generation_config import followed
from promptmill.errors import EngineError
from promptmill.placing.completeness import require_loaded
from promptmill.placing.generators import auto_class, require_generator
from promptmill.placing.gpus import prepare_allocator
from promptmill.placing.memory import GIB
from promptmill.placing.options import Device
from promptmill.placing.remote_code import running_code
from promptmill.placing.stored import is_stored, store
from promptmill.placing.torch_build import require_gpus

logger = logging.getLogger(__name__)

_BITS = ("4bit", "8bit")
_PLAIN = ("none", "gguf")
_NO_ADAPTER = {"subfolder": "config.json"}
"""Where transformers is to look for an adapter to apply: nowhere, as no file is a folder.

With peft installed it would apply one that lies beside the weights of a whole model, and say nothing.
"""


@dataclass(frozen=True)
class LoadPlan:
    """Which model to load and how.

    Attributes:
        dtype: float32, float16 or bfloat16.
        quantization: none, 8bit or 4bit (bitsandbytes); or what the weights come as, `gptq-4bit`, `gguf`, ...
        device_map: module → number of a GPU that this process sees, `cpu` or `disk`.
        stored: where weights that we quantise are kept; None keeps none.
        offload: folder for weights that go to disk and cannot be read from the checkpoint as they are.
        gguf: name of the GGUF file, where that is what the folder holds.
        remote_code: whether Python code in the folder is run.
        tokenizer: the folder of the tokenizer, where that is another.
        adapter: the folder of an adapter that is put onto the model.
    """

    folder: str
    dtype: str
    quantization: str = "none"
    device_map: tuple[tuple[str, Device], ...] = (("", "cpu"),)
    stored: str | None = None
    offload: str | None = None
    gguf: str | None = None
    remote_code: bool = False
    tokenizer: str | None = None
    adapter: str | None = None

    @property
    def gpus(self) -> tuple[int, ...]:
        """The GPUs that the model goes to."""
        return tuple(sorted({device for _, device in self.device_map if isinstance(device, int)}))

    @property
    def quantises(self) -> bool:
        """Whether the weights come plain and are quantised by us."""
        return self.quantization in _BITS


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to generate, and what loading it took.

    Attributes:
        memory_bytes: of parameters and buffers, as they lie on the devices.
        from_store: whether the weights were read quantised, as an earlier start kept them.
    """

    model: Any
    tokenizer: Any
    load_seconds: float
    memory_bytes: int
    from_store: bool = False


@lru_cache(maxsize=1)
@few_collections()
def load_model(plan: LoadPlan) -> LoadedModel:
    """Load a model and its tokenizer; asked again with the same plan, the process gets the same one.

    Raises:
        ConfigurationError: it needs Python code of its own, which may not be run.
        EngineError: the files hold no whole causal language model that can be loaded like this, or it came
            to lie elsewhere or otherwise than planned.
    """
    start = time.monotonic()
    if plan.gpus:
        prepare_allocator()
        require_gpus(len(plan.gpus))
    with _engine_errors(plan.folder), running_code(plan.folder, plan.remote_code):
        tokenizer = _tokenizer(plan.tokenizer or plan.folder, plan.gguf, plan.remote_code)
        model, from_store = _model(plan)
        if plan.adapter is not None:
            model = adapted(model, Path(plan.adapter), merge=plan.quantization in _PLAIN)
    require_as_planned(model, plan)
    loaded = LoadedModel(model, tokenizer, time.monotonic() - start, model.get_memory_footprint(), from_store)
    logger.info(
        "Loaded %s as %s%s in %.1f s, %.2f GiB.",
        plan.folder,
        plan.dtype,
        "" if plan.quantization == "none" else f" {plan.quantization}",
        loaded.load_seconds,
        loaded.memory_bytes / GIB,
    )
    return loaded


def load_tokenizer(folder: str, gguf: str | None = None, *, remote_code: bool = False) -> Any:
    """The tokenizer alone, for what needs no weights.

    Raises:
        ConfigurationError: it needs Python code of its own, which may not be run.
        EngineError: there is none that can be loaded.
    """
    try:
        with running_code(folder, remote_code):
            return _tokenizer(folder, gguf, remote_code)
    except (OSError, ValueError, ImportError) as error:
        raise EngineError(f"The tokenizer in {folder} cannot be loaded: {_first_lines(error)}") from error


def require_as_planned(model: Any, plan: LoadPlan) -> None:
    """See that the model lies where it was to lie, and is quantised if it was to be.

    Raises:
        EngineError: it is not.
    """
    wanted = {f"cuda:{device}" if isinstance(device, int) else device for _, device in plan.device_map}
    allowed = {"meta" if place == "disk" or (plan.gpus and place == "cpu") else place for place in wanted}
    seen = {str(parameter.device) for parameter in model.parameters()}
    if not seen <= allowed:
        raise EngineError(
            f"The model came to lie on {', '.join(sorted(seen))} instead of {', '.join(sorted(allowed))}. "
            "Choose another placement with --device-map."
        )
    plain = plan.quantization in _PLAIN
    if plain == bool(getattr(model, "is_quantized", False)):
        raise EngineError(
            f"The weights in {plan.folder} were to be {plan.quantization}, and were loaded "
            f"{'quantised' if plain else 'unquantised'}. Choose another --quantization, or report this."
        )


def _tokenizer(folder: str, gguf: str | None, remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    how = {"gguf_file": gguf} if gguf and (Path(folder) / gguf).is_file() else {}
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=remote_code, **how)


def _model(plan: LoadPlan) -> tuple[Any, bool]:
    """The model, and whether it was read as we once kept it quantised."""
    # It says once a layer that 8-bit layers compute in float16, and that there is no faster CPU kernel.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if not plan.quantises:
        return _read(plan, plan.folder, None), False
    folder = None if plan.stored is None else Path(plan.stored)
    if folder is not None and is_stored(folder):
        return _read(plan, str(folder), None), True
    model = _read(plan, plan.folder, _bitsandbytes(plan))
    if folder is not None:
        store(model, folder)
    return model, False


def _read(plan: LoadPlan, folder: str, quantization: Any) -> Any:
    """transformers maps the files into memory, and reads of each only what goes to a device, tensor by tensor."""
    import torch
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    how: dict[str, Any] = {"use_safetensors": True}
    if plan.gguf is not None:
        how = {"gguf_file": plan.gguf, "quantization_config": _unpacked(plan.gguf)}
    elif quantization is not None:  # a None here would hide the quantization that a config names
        how["quantization_config"] = quantization
    if plan.offload is not None:
        how["offload_folder"] = plan.offload
    own = followed(plan.folder)
    if own is not None:
        how["generation_config"] = own
    # Weights that come quantised are other tensors than the model's, and transformers' word on them is its last.
    judge = plan.quantization in _PLAIN or quantization is not None
    model, info = _class(plan, folder).from_pretrained(
        folder,
        dtype=getattr(torch, plan.dtype),
        device_map=dict(plan.device_map),
        trust_remote_code=plan.remote_code,  # None would ask at a terminal, and run it on a "y"
        output_loading_info=True,
        ignore_mismatched_sizes=judge,
        adapter_kwargs=_NO_ADAPTER,
        **how,
    )
    if judge:
        require_loaded(plan.folder, model, info)
    _keep_dtype_on_cpu(model, plan.dtype)
    return model.eval()


def _class(plan: LoadPlan, folder: str) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    if plan.gguf is not None:
        return AutoModelForCausalLM
    config = AutoConfig.from_pretrained(folder, trust_remote_code=plan.remote_code)
    require_generator(config, plan.folder)
    return auto_class(config)


def _keep_dtype_on_cpu(model: Any, dtype: str) -> None:
    """Have 4-bit layers compute in the run's dtype on every CPU.

    On CPUs with AVX512-BF16, bitsandbytes 0.50 computes them in bfloat16 whatever was asked for, which
    changes the bytes from one CPU to another; and it fails on matrices not of a multiple of 32 by 64.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            even = module.out_features % 32 == 0 and module.in_features % 64 == 0
            module.support_avx512bf16_for_cpu &= dtype == "bfloat16" and even


def _bitsandbytes(plan: LoadPlan) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if plan.quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, plan.dtype),
    )


def _unpacked(gguf: str) -> Any:
    """A GGUF file's values in the run's dtype: what transformers falls back to by itself, asked for plainly."""
    try:
        from transformers import GgufConfig
    except ImportError:  # before transformers 5.2x every GGUF file was unpacked
        return None
    return GgufConfig(gguf_file=gguf, dequantize=True)


@contextmanager
def _engine_errors(folder: str) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except ImportError as error:
        raise EngineError(f"{folder} needs a package that is not installed: {_first_lines(error)}") from error
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise EngineError(f"The model in {folder} cannot be loaded: {_first_lines(error)}") from error


def _first_lines(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
