"""From a model's files to a loaded model: the part that needs no run, as a dataset run and a chat share it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptmill.engine.loading import LoadedModel, LoadPlan, load_model, load_tokenizer
from promptmill.errors import EngineError
from promptmill.hardware import Hardware
from promptmill.model import PinnedModel
from promptmill.placing.case import Case
from promptmill.placing.checkpoint import Checkpoint
from promptmill.placing.choices import possible_quantizations, resolve_dtype
from promptmill.placing.completeness import require_all_weights
from promptmill.placing.decide import decide
from promptmill.placing.decision import Decision
from promptmill.placing.gpus import claim_gpus
from promptmill.placing.memory import Workload
from promptmill.placing.options import PlacementOptions
from promptmill.placing.refusal import refusal
from promptmill.placing.shape import skeleton_of
from promptmill.placing.split import Splitter
from promptmill.placing.stored import stored_folder
from promptmill.placing.torch_build import require_gpu_build, require_no_hidden_gpus


def decide_place(
    checkpoint: Checkpoint,
    hardware: Hardware,
    options: PlacementOptions,
    *,
    dtype: str,
    quantization: str,
    workload: Callable[[Any], Workload],
) -> Decision:
    """Where a model goes, and as what; nothing is loaded.

    Args:
        dtype, quantization: as the user gives them, `auto` included.
        workload: how long rows become, told the tokenizer.

    Raises:
        ConfigurationError: the hardware cannot do the dtype.
        EngineError: it is no model that writes text, its files do not hold all of it, or nothing that the options
            allow holds it.
    """
    auto = quantization == "auto" and checkpoint.method is None
    folder = str(checkpoint.folder)
    skeleton = skeleton_of(folder, checkpoint.gguf, remote_code=checkpoint.remote_code)
    require_all_weights(checkpoint, skeleton.model)
    shape = skeleton.stored(checkpoint)
    tokenizer = load_tokenizer(checkpoint.tokenizer, checkpoint.gguf, remote_code=checkpoint.remote_code)
    rows = workload(tokenizer).within(shape.context)
    case = Case(
        shape,
        hardware,
        options,
        rows,
        resolve_dtype(dtype, hardware, checkpoint),
        checkpoint.quantization if checkpoint.method else "none" if auto else quantization,
        Splitter(skeleton, shape),
    )
    decision = decide(case, auto=auto)
    if decision is not None:
        return decision
    if auto:
        case = replace(case, quantization=possible_quantizations(case.shape, hardware.gpus)[-1])
    raise refusal(case)


def load_decided(data: Path, pinned: PinnedModel, checkpoint: Checkpoint, decision: Decision) -> LoadedModel:
    """The model as it was decided on, with the GPUs that a copy needs; waits while other processes have them.

    To be called before this process touches CUDA.

    Raises:
        EngineError: too little memory is free now, or the model cannot be loaded.
    """
    if checkpoint.adapter is not None and decision.kind in ("cpu-offload", "disk-offload"):
        raise EngineError(
            f"{pinned.model} is an adapter, which is put onto a model that lies whole on GPUs or in host memory, and "
            f"this one would not ({decision.summary}). Give --quantization 4bit or --gpus-per-copy, or merge the "
            "adapter into its base model with peft and give --model that folder."
        )
    if decision.needs:
        require_gpu_build()
        claim_gpus(decision.needs)
    elif decision.hardware == "cpu":
        require_no_hidden_gpus()
    return load_model(_plan(data, pinned, checkpoint, decision))


def _plan(data: Path, pinned: PinnedModel, checkpoint: Checkpoint, decision: Decision) -> LoadPlan:
    models = data / "models"
    code = checkpoint.remote_code
    weights = pinned.weights
    stored = stored_folder(models, weights.revision, decision.quantization, decision.dtype, remote_code=code)
    plan = LoadPlan(
        weights.folder,
        decision.dtype,
        decision.quantization,
        decision.device_map,
        gguf=checkpoint.gguf,
        remote_code=code,
        tokenizer=checkpoint.tokenizer,
        adapter=None if checkpoint.adapter is None else str(checkpoint.adapter),
    )
    offload = (
        models / "offload" / f"{weights.revision}-{decision.dtype}-{os.getuid()}"
        if decision.kind == "disk-offload"
        else None
    )
    return replace(
        plan,
        stored=str(stored) if plan.quantises and not checkpoint.is_quantised else None,
        offload=None if offload is None else str(offload),
    )
