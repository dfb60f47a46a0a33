"""Deciding dtype and device for the hardware at hand, and proving it by loading the model."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from promptmill.engine.loading import LoadedModel, LoadPlan, load_model, load_tokenizer
from promptmill.errors import ConfigurationError, StorageError
from promptmill.files import read_json, write_json
from promptmill.hardware import Hardware
from promptmill.model import PinnedModel, recorded_model
from promptmill.prompts import PreparedPrompts
from promptmill.run import Identity, RunFolder, fix_identity
from promptmill.settings import RunSettings


@dataclass(frozen=True)
class Placement:
    """How the run's model lies on one kind of hardware, and what was measured when it was loaded.

    Attributes:
        hardware: `Hardware.label`.
        memory_bytes: of the loaded weights.
    """

    hardware: str
    device: str
    dtype: str
    quantization: str
    load_seconds: float
    memory_bytes: int


def place_model(run: RunFolder, hardware: Hardware, prompts: PreparedPrompts) -> Placement:
    """Fix the run's identity, load its model for real once, and write the placement down.

    Raises:
        ConfigurationError: the hardware cannot do the run's dtype, or model and prompts do not fit together.
        EngineError: the model cannot be loaded.
    """
    pinned = require_model(run)
    identity = _fixed_identity(run, pinned, hardware, prompts)
    _require_dtype(identity.dtype, hardware)
    loaded = load_for_run(pinned, identity, hardware)
    placement = Placement(
        hardware.label,
        _device(hardware),
        identity.dtype,
        identity.quantization,
        round(loaded.load_seconds, 3),
        loaded.memory_bytes,
    )
    write_json(run.placement(hardware.label), asdict(placement))
    return placement


def load_for_run(pinned: PinnedModel, identity: Identity, hardware: Hardware) -> LoadedModel:
    """The run's model on this hardware; loaded once a process."""
    return load_model(LoadPlan(pinned.folder, identity.dtype, identity.quantization, _device(hardware)))


def recorded_placement(run: RunFolder, hardware: Hardware) -> Placement | None:
    """The placement that was proven on hardware of this kind; None if it was not met before."""
    value = read_json(run.placement(hardware.label))
    return None if value is None else Placement(**value)


def require_model(run: RunFolder) -> PinnedModel:
    """The model that the run is pinned to.

    Raises:
        StorageError: it was never fetched, or its record is damaged.
    """
    pinned = recorded_model(run.model)
    if pinned is None:
        raise StorageError(f"{run.model} is missing or damaged; start BuildDataset again and it is made anew.")
    return pinned


def _fixed_identity(run: RunFolder, pinned: PinnedModel, hardware: Hardware, prompts: PreparedPrompts) -> Identity:
    settings = run.settings
    template = _chat_template(pinned)
    _require_prompts_fit(settings, prompts, pinned.model, chat=template is not None)
    dtype = hardware.default_dtype if settings.dtype == "auto" else settings.dtype
    wanted = Identity.of(
        settings,
        revision=pinned.revision,
        prompts=prompts.sha256,
        chat_template=None if template is None else hashlib.sha256(template.encode()).hexdigest(),
        dtype=dtype,
    )
    fixed = fix_identity(run, wanted)
    if (fixed.revision, fixed.prompts, fixed.chat_template) != (wanted.revision, wanted.prompts, wanted.chat_template):
        raise ConfigurationError(
            f"The model or the prompts of {run.path} are not those that the run was begun with "
            f"(see {run.identity.name}). Restore them, or start again with another --name."
        )
    return fixed


def _chat_template(pinned: PinnedModel) -> str | None:
    template = load_tokenizer(pinned.folder).chat_template
    return None if template is None else str(template)


def _require_prompts_fit(settings: RunSettings, prompts: PreparedPrompts, model: str, *, chat: bool) -> None:
    if chat:
        return
    if prompts.kind == "messages":
        raise ConfigurationError(
            f"The prompts are `messages`, and {model} has no chat template to render them with. "
            "Choose a chat model, or make plain prompts of them with --template."
        )
    if settings.system_prompt is not None:
        raise ConfigurationError(
            f"--system-prompt needs a chat model, and {model} has no chat template. "
            "Put the text into --template instead, as in --template 'Be brief. {{ prompt }}'."
        )


def _require_dtype(dtype: str, hardware: Hardware) -> None:
    lacking = [gpu.name for gpu in hardware.gpus if dtype == "bfloat16" and not gpu.has_bfloat16]
    if lacking:
        raise ConfigurationError(
            f"The run's dtype is bfloat16, and {lacking[0]} has none (it came with Ampere). "
            "Ask for newer GPUs, or begin a run of its own with --dtype float16."
        )


def _device(hardware: Hardware) -> str:
    return "cuda:0" if hardware.gpus else "cpu"
