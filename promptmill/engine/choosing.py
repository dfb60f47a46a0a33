"""Which engine a run generates with: the one place that knows all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from promptmill.collecting import few_collections
from promptmill.endpoint.options import EndpointOptions
from promptmill.engine.contract import Engine
from promptmill.errors import ConfigurationError
from promptmill.hardware import Hardware, available_cores, detect_hardware
from promptmill.placement import load_placed, require_model, require_placement
from promptmill.rendering.choosing import with_template
from promptmill.run import RunFolder, recorded_identity


@dataclass(frozen=True)
class EngineOptions:
    """What a process says about its engine; none of it changes the bytes of a dataset.

    Attributes:
        batch_size: rows in one forward pass; None lets the engine choose.
        processes: how many like this one share the machine's cores.
        endpoint: where the server is; of `endpoint` alone.
    """

    batch_size: int | None
    processes: int
    endpoint: EndpointOptions | None


@few_collections()
def choose_engine(run: RunFolder, options: EngineOptions, hardware: Hardware | None = None) -> Engine:
    """The engine of the run, ready to generate; what takes long to load is loaded once a process.

    Args:
        hardware: that the model was placed on; None detects it.

    Raises:
        ConfigurationError: an option is missing that the engine needs.
        EngineError: the model cannot be loaded.
    """
    if run.settings.engine == "endpoint":
        return _endpoint(run, options)
    hardware = hardware or detect_hardware()
    if run.settings.engine == "vllm":
        return _vllm(run, options, hardware)
    return _transformers(run, options, hardware)


def _endpoint(run: RunFolder, options: EngineOptions) -> Engine:
    from promptmill.endpoint.engine import endpoint_engine

    if options.endpoint is None:
        raise ConfigurationError(
            "--endpoint-url is missing: the run generates with --engine endpoint. Name the server, as in "
            "--endpoint-url http://localhost:8000/v1."
        )
    return endpoint_engine(run, options.endpoint)


def _vllm(run: RunFolder, options: EngineOptions, hardware: Hardware) -> Engine:
    from promptmill.vllm.engine import VllmEngine
    from promptmill.vllm.loading import load_into_vllm

    decision = require_placement(run, hardware).decision
    loaded = load_into_vllm(require_model(run), decision, processes=options.processes)
    loaded = replace(loaded, tokenizer=with_template(loaded.tokenizer, run.settings.chat_template))
    return VllmEngine(loaded, run.settings.sampling, batch_size=options.batch_size, **_rules(run))


def _transformers(run: RunFolder, options: EngineOptions, hardware: Hardware) -> Engine:
    import torch

    from promptmill.engine.transformers import TransformersEngine

    # Two processes of two threads each fall to a third on two cores: one core, one thread.
    torch.set_num_threads(max(1, available_cores() // options.processes))
    loaded = load_placed(run, hardware)
    placed = require_placement(run, hardware)
    # What is safe was measured for GPUs; on a CPU the engine knows what is fast.
    safe = placed.batch_size if hardware.gpus else None
    return TransformersEngine(
        loaded.model,
        with_template(loaded.tokenizer, run.settings.chat_template),
        run.settings.sampling,
        batch_size=options.batch_size or safe,
        positions=placed.cache_positions,
        slots_work=placed.measured.slots_work,
        **_rules(run),
    )


def _rules(run: RunFolder) -> dict[str, Any]:
    """How both engines read prompts and completions."""
    return {"rendering": recorded_identity(run).rendering, "keep_special": run.settings.keep_special_tokens}
