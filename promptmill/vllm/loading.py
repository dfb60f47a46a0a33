"""vLLM with the run's model in it, loaded once a process."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from promptmill.engine.generation_config import followed
from promptmill.engine.loading import load_tokenizer
from promptmill.errors import EngineError
from promptmill.hardware import available_cores
from promptmill.model import PinnedModel
from promptmill.placing.checkpoint import inspect_checkpoint
from promptmill.placing.completeness import require_all_weights
from promptmill.placing.decision import Decision
from promptmill.placing.gpus import claim_gpus
from promptmill.placing.memory import PREFILL_TOKENS, USABLE_SHARE
from promptmill.placing.shape import skeleton_of
from promptmill.placing.torch_build import require_gpu_build, require_no_hidden_gpus
from promptmill.vllm.files import model_files_alone
from promptmill.vllm.installed import imported_vllm, require_vllm
from promptmill.vllm.plan import VllmPlan, cpu_cache_bytes
from promptmill.vllm.reason import said_by
from promptmill.vllm.unsound import UnsoundRows
from promptmill.vllm.workers import leave_signals_to_us, starting

logger = logging.getLogger(__name__)

_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",  # it would tell its makers about the machine
    "VLLM_LOGGING_LEVEL": "CRITICAL",  # errors are raised as well, and logged with all prompts under way
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_COMPUTE_NANS_IN_LOGITS": "1",  # counted for each row, and otherwise unheard of
    # Its processes listen to each other, and everything they open is reachable from outside but for these.
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
}

_MAKE_UP = ("llvmlite.binding.ffi",)
"""Of Numba, if it was imported before vLLM is started."""


@dataclass(frozen=True)
class LoadedVllm:
    """vLLM, ready to generate.

    Attributes:
        folder: the model's.
        engine: a `vllm.LLMEngine` whose scheduler runs in this process.
        tokenizer: the model's own, the same object that the transformers engine would use.
        generation_config: of the model, in transformers' words.
        room: positions that the longest row may have: the model's, or what memory has room for.
        rows: most rows at a time.
        prefill: tokens of new prompts that are computed in one forward pass.
        unsound: tells of rows whose logits are no numbers.
    """

    folder: str
    engine: Any
    tokenizer: Any
    generation_config: Any
    room: int
    rows: int
    prefill: int
    load_seconds: float
    unsound: UnsoundRows

    @property
    def config(self) -> Any:
        """The model's configuration, in transformers' words."""
        return self.engine.model_config.hf_config

    @property
    def vocabulary(self) -> int:
        """How many ids the model's logits are over."""
        return int(self.engine.model_config.get_vocab_size())


def load_into_vllm(pinned: PinnedModel, decision: Decision, *, processes: int = 1) -> LoadedVllm:
    """vLLM with the model as it was decided on, and the GPUs that a copy needs; waits while other processes have them.

    To be called before this process touches CUDA.

    Args:
        processes: how many like this one share the machine's cores.

    Raises:
        EngineError: vLLM is missing, the files do not hold all of the model, too little memory is free now, or it
            cannot load the model.
    """
    require_vllm(decision.quantization)
    _require_all_weights(pinned.folder)
    return load(_plan(pinned, decision, processes), max(1, available_cores() // processes))


@lru_cache(maxsize=1)
def _require_all_weights(folder: str) -> None:
    """Once a process; vLLM itself leaves layers as memory was for which it finds nothing."""
    require_all_weights(inspect_checkpoint(folder), skeleton_of(folder).model)


@lru_cache(maxsize=1)
def load(plan: VllmPlan, threads: int) -> LoadedVllm:
    """Start vLLM; asked again with the same plan, the process gets the same one.

    Args:
        threads: of this process, on a CPU.

    Raises:
        EngineError: vLLM cannot load the model like this.
    """
    # The scheduler in this process: one of its own would outlive a SIGKILL of this one and keep the GPU.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not plan.gpus:
        _use_threads(threads)
    start = time.monotonic()
    vllm = imported_vllm()
    logger.info(
        "Starting vLLM %s with %s; it %s.",
        vllm.__version__, plan.folder, "compiles for the GPU, which may take minutes" if plan.gpus else "takes a while",
    )  # fmt: skip
    try:
        engine = _engine(vllm, plan)
    except Exception as error:  # vLLM raises what it likes, its own RuntimeErrors above all
        raise EngineError(
            f"vLLM cannot load the model in {plan.folder}: {said_by(error)} "
            "Set VLLM_LOGGING_LEVEL=INFO to see what it did before, or choose --engine transformers."
        ) from error
    scheduler = engine.vllm_config.scheduler_config
    loaded = LoadedVllm(
        plan.folder,
        engine,
        load_tokenizer(plan.folder),
        _generation_config(plan.folder),
        room=int(engine.model_config.max_model_len),
        rows=int(scheduler.max_num_seqs),
        prefill=scheduler.max_num_batched_tokens if plan.gpus else PREFILL_TOKENS,
        load_seconds=time.monotonic() - start,
        unsound=UnsoundRows(engine),
    )
    logger.info(
        "Loaded %s into vLLM as %s in %.1f s: up to %d rows at a time.",
        plan.folder, plan.dtype if plan.quantization == "none" else f"{plan.dtype} {plan.quantization}",
        loaded.load_seconds, loaded.rows,
    )  # fmt: skip
    return loaded


def _engine(vllm: Any, plan: VllmPlan) -> Any:
    with warnings.catch_warnings(), starting(), _made_up_hidden(), model_files_alone(Path(plan.folder)) as folder:
        warnings.simplefilter("ignore", FutureWarning)  # of libraries about each other
        from vllm.usage.usage_lib import UsageContext

        arguments = vllm.EngineArgs(**plan.arguments() | {"model": str(folder)})
        # As vLLM's own class for batches: otherwise it takes a small server's number of rows and tokens a pass.
        engine = vllm.LLMEngine.from_engine_args(arguments, usage_context=UsageContext.LLM_CLASS)
        leave_signals_to_us(engine)
        return engine


@contextmanager
def _made_up_hidden() -> Iterator[None]:
    """vLLM 0.32 looks at every value of every imported module, and stumbles over one that makes up attributes."""
    hidden = {name: sys.modules.pop(name) for name in _MAKE_UP if name in sys.modules}
    try:
        yield
    finally:
        sys.modules.update(hidden)


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)  # vLLM forbids it afterwards


def _plan(pinned: PinnedModel, decision: Decision, processes: int) -> VllmPlan:
    share, cache = None, None
    if decision.needs:
        require_gpu_build()
        gpus = claim_gpus(decision.needs).gpus
        usable = min(decision.arithmetic.usable)
        share = min(min(gpu.free_bytes * USABLE_SHARE, usable) / gpu.total_bytes for gpu in gpus)
        share = round(share, 3)
    else:
        require_no_hidden_gpus()
        cache = cpu_cache_bytes(decision.arithmetic, processes)
    return VllmPlan(
        pinned.folder,
        decision.dtype,
        decision.quantization,
        decision.gpus_per_copy,
        memory_share=share,
        cache_bytes=cache,
    )


def _generation_config(folder: str) -> Any:
    from transformers import AutoConfig, GenerationConfig

    own = followed(folder)
    # Many checkpoints have none, and their configuration names the end.
    return own if own is not None else GenerationConfig.from_model_config(AutoConfig.from_pretrained(folder))
