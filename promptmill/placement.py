"""The run's model on the hardware at hand: decided, proven by loading it, and loaded again by every process."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from promptmill.collecting import few_collections
from promptmill.engine.generation_config import recommendation
from promptmill.engine.loading import LoadedModel, load_tokenizer
from promptmill.errors import ConfigurationError, StorageError
from promptmill.files import read_json, write_json
from promptmill.generate import PromptForm
from promptmill.hardware import Hardware
from promptmill.model import PinnedModel, recorded_model
from promptmill.placing.calibrate import Measured, calibrate
from promptmill.placing.checkpoint import Checkpoint, inspect_model
from promptmill.placing.decision import Decision
from promptmill.placing.memory import Workload
from promptmill.placing.options import PlacementOptions
from promptmill.placing.place import decide_place, load_decided
from promptmill.placing.workload import workload_of
from promptmill.progress import loading_told, writer_name
from promptmill.prompts import PreparedPrompts, read_prepared
from promptmill.rendering import EARLIEST, Renderer, Rendering
from promptmill.rendering.choosing import with_template
from promptmill.rendering.control import say_control_tokens
from promptmill.rendering.first import rendering_of, require_template, say_prompt
from promptmill.run import Identity, RunFolder, fix_identity, recorded_begin, recorded_identity
from promptmill.settings import RunSettings
from promptmill.shard import fingerprints_of_rows
from promptmill.vllm.loading import load_into_vllm
from promptmill.vllm.plan import decide_for_vllm
from promptmill.vllm.proof import prove as prove_in_vllm

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """How the run's model lies on one kind of hardware, and what was measured when it was loaded.

    Attributes:
        options: what the user said about placement when it was decided.
    """

    decision: Decision
    measured: Measured
    options: PlacementOptions

    @property
    def batch_size(self) -> int:
        """Rows at a time that are safe."""
        return self.measured.batch_size

    @property
    def cache_positions(self) -> int | None:
        """Positions in the KV cache that are safe; None on a CPU, where the engine has its own limit."""
        if not self.decision.gpus_per_copy:
            return None
        return self.measured.batch_size * self.decision.arithmetic.positions

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; `from_json` gives the same placement back."""
        return {
            "format": 1,
            "options": self.options.to_json(),
            "decision": self.decision.to_json(),
            "measured": self.measured.to_json(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Placement:
        """The placement that `to_json` wrote."""
        options = PlacementOptions.from_json(value["options"])
        return cls(Decision.from_json(value["decision"]), Measured(**value["measured"]), options)


Prove = Callable[[RunFolder, PinnedModel, Checkpoint, Decision], Measured]


def load_and_measure(run: RunFolder, pinned: PinnedModel, checkpoint: Checkpoint, decision: Decision) -> Measured:
    """Load the model into the run's engine, and generate a little."""
    if run.settings.engine == "vllm":
        return prove_in_vllm(load_into_vllm(pinned, decision), decision)
    return calibrate(load_decided(run.data, pinned, checkpoint, decision), decision)


@few_collections()
def place_model(
    run: RunFolder,
    hardware: Hardware,
    prompts: PreparedPrompts,
    options: PlacementOptions | None = None,
    *,
    prove: Prove = load_and_measure,
) -> Placement:
    """Decide, fix the run's identity, load the model for real once, measure, and write it all down.

    Hardware of a kind that was met before is neither decided on nor measured again, unless the
    options have changed since.

    Args:
        prove: shows that the model can be used as decided, and measures what it takes.

    Raises:
        ConfigurationError: the hardware cannot do the run's dtype, or model and prompts do not fit together.
        EngineError: the model fits nowhere (before anything is loaded), or cannot be loaded.
    """
    options = options or PlacementOptions()
    known = recorded_placement(run, hardware)
    if known is not None and known.options == options and run.identity.exists():
        return known
    pinned = require_model(run)
    checkpoint = _checkpoint(run, pinned)
    if run.settings.engine == "vllm" and checkpoint.adapter is not None:
        raise ConfigurationError(
            f"--engine vllm loads no adapters, and {pinned.model} is one. Leave --engine out, or merge it into its "
            "base model with peft (`merge_and_unload`), save that, and give --model its folder."
        )
    checkpoint.require_not_again(run.settings.quantization)
    checkpoint.require_backend()
    tokenizer = _tokenizer(run, checkpoint)
    template = None if tokenizer.chat_template is None else str(tokenizer.chat_template)
    _require_prompts_fit(run.settings, prompts, pinned.model, chat=template is not None)
    rendering = _tried_rendering(run, tokenizer, prompts, pinned)
    decision = _decided(run, checkpoint, hardware, options)
    identity = _fixed_identity(run, pinned, prompts, template, decision, rendering)
    if (identity.dtype, identity.quantization) != (decision.dtype, decision.quantization):
        # Another machine began this run: its dtype and quantization hold, as they change the bytes.
        decision = _decided(run, checkpoint, hardware, options)
    _say(decision, chooses_rows=run.settings.engine != "vllm")
    with loading_told(run.progress / f"{writer_name()}.json"):
        placement = Placement(decision, prove(run, pinned, checkpoint, decision), options)
    write_json(run.placement(hardware.label), {"fingerprint": identity.fingerprint, **placement.to_json()})
    return placement


def show_prompts(run: RunFolder, prompts: PreparedPrompts, most: int) -> None:
    """Log the first prompts as the model gets them, with their tokens; nothing is loaded but the tokenizer.

    Raises:
        ConfigurationError: the prompts or the system prompt would not come to the model.
        EngineError: the model's files cannot be read.
    """
    pinned = require_model(run)
    checkpoint = _checkpoint(run, pinned)
    tokenizer = _tokenizer(run, checkpoint)
    _require_prompts_fit(run.settings, prompts, pinned.model, chat=tokenizer.chat_template is not None)
    _tried_rendering(run, tokenizer, prompts, pinned, shown=min(most, prompts.rows))


def load_placed(run: RunFolder, hardware: Hardware) -> LoadedModel:
    """The run's model as it was placed on hardware of this kind; loaded once a process.

    Takes the GPUs that a copy needs, waiting for them if other processes have them: to be called
    before this process touches CUDA.

    Raises:
        StorageError: it was never placed here.
        EngineError: too little memory is free now, or the model cannot be loaded.
    """
    placement = require_placement(run, hardware)
    pinned = require_model(run)
    return load_decided(run.data, pinned, _checkpoint(run, pinned), placement.decision)


def recorded_placement(run: RunFolder, hardware: Hardware) -> Placement | None:
    """The placement that was proven on hardware of this kind; None if it was not met before."""
    value = read_json(run.placement(hardware.label))
    try:
        return None if value is None else Placement.from_json(value)
    except (KeyError, TypeError):
        return None  # of another version: decided anew


def require_placement(run: RunFolder, hardware: Hardware) -> Placement:
    """The placement on hardware of this kind.

    Raises:
        StorageError: there is none.
    """
    placement = recorded_placement(run, hardware)
    if placement is None:
        raise StorageError(
            f"{run.placement(hardware.label)} is missing or damaged; start BuildDataset again and it is made anew."
        )
    return placement


def require_model(run: RunFolder) -> PinnedModel:
    """The model that the run is pinned to.

    Raises:
        StorageError: it was never fetched, or its record is damaged.
    """
    pinned = recorded_model(run.model)
    if pinned is None:
        raise StorageError(f"{run.model} is missing or damaged; start BuildDataset again and it is made anew.")
    return pinned


def _tokenizer(run: RunFolder, checkpoint: Checkpoint) -> Any:
    tokenizer = load_tokenizer(checkpoint.tokenizer, checkpoint.gguf, remote_code=checkpoint.remote_code)
    return with_template(tokenizer, run.settings.chat_template)


def _checkpoint(run: RunFolder, pinned: PinnedModel) -> Checkpoint:
    return inspect_model(pinned, remote_code=run.settings.trust_remote_code)


def _decided(run: RunFolder, checkpoint: Checkpoint, hardware: Hardware, options: PlacementOptions) -> Decision:
    """The decision, with the dtype and quantization that the run has already, if it has.

    Raises:
        EngineError: nothing that the options allow holds the model.
    """
    fixed = recorded_identity(run) if run.identity.exists() else None

    dtype = (fixed and fixed.dtype) or run.settings.dtype

    def workload(tokenizer: Any) -> Workload:
        return workload_of(
            run.prompts_table,
            tokenizer,
            new_tokens=run.settings.sampling.max_new_tokens,
            system_prompt=run.settings.system_prompt,
        )

    def decide(options: PlacementOptions, quantization: str) -> Decision:
        return decide_place(checkpoint, hardware, options, dtype=dtype, quantization=quantization, workload=workload)

    quantization = (fixed and fixed.quantization) or run.settings.quantization
    if run.settings.engine == "vllm":
        return decide_for_vllm(decide, options, quantization, checkpoint, gpus=len(hardware.gpus))
    return decide(options, quantization)


def _say(decision: Decision, *, chooses_rows: bool) -> None:
    rows = f", {decision.batch_size} rows at a time" if chooses_rows else ""
    logger.info("Placement on %s: %s%s.", decision.hardware, decision.summary, rows)
    for warning in decision.warnings:
        logger.warning("%s", warning)


def _tried_rendering(
    run: RunFolder, tokenizer: Any, prompts: PreparedPrompts, pinned: PinnedModel, *, shown: int = 1
) -> Rendering:
    """The rules of the run, once known texts have come through them; prompts are logged as the model gets them.

    Args:
        shown: how many of them.

    Raises:
        ConfigurationError: the prompts or the system prompt would not come to the model.
    """
    known = recorded_identity(run).rendering if run.identity.exists() else None
    rendering = (
        rendering_of(tokenizer, recorded_begin(run), split=run.settings.split_special_tokens)
        if known is None
        else known
    )
    renderer = Renderer(tokenizer, rendering)
    settings, chat = run.settings, tokenizer.chat_template is not None
    if chat and rendering != EARLIEST:  # what was begun without it goes on as it was
        asks = settings.system_prompt is not None
        require_template(renderer, pinned.model, chats=prompts.kind == "messages", system_prompt=asks)
    if rendering != EARLIEST:
        trial = renderer.trial if chat else None
        say_control_tokens(run.prompts_table, tokenizer, trial, split=rendering.split)
    if (told := recommendation(pinned.weights.folder, settings.sampling)) is not None:
        logger.warning("%s", told)
    form = PromptForm(chat, settings.system_prompt, samples=1, run_seed=settings.seed)
    for request in form.requests(read_prepared(run.prompts_table, 0, shown)):
        which = "The first prompt" if shown == 1 else f"Prompt {request.position + 1}"
        text = say_prompt(which, renderer, request.prompt, request.messages)
        if request.position == 0 and text is not None:
            write_json(run.first_prompt, {"text": text})  # for the report
    return rendering


def _fixed_identity(
    run: RunFolder,
    pinned: PinnedModel,
    prompts: PreparedPrompts,
    template: str | None,
    decision: Decision,
    rendering: Rendering,
) -> Identity:
    digest = None if template is None else hashlib.sha256(template.encode()).hexdigest()
    wanted = _identity(run.settings, pinned, prompts, digest, decision, rendering)
    if not run.identity.exists() and (rows := fingerprints_of_rows(run.shards)):
        # Its file is gone: the rows tell which rules they were made by.
        earlier = _identity(run.settings, pinned, prompts, digest, decision, EARLIEST)
        wanted = earlier if earlier.fingerprint in rows else wanted
    fixed = fix_identity(run, wanted)
    if _content(fixed) != _content(wanted):
        raise ConfigurationError(
            f"The model or the prompts of {run.path} are not those that the run was begun with "
            f"(see {run.identity.name}). Restore them, or start again with another --name."
        )
    return fixed


def _content(identity: Identity) -> tuple[str | None, ...]:
    return identity.revision, identity.base, identity.prompts, identity.chat_template


def _identity(
    settings: RunSettings,
    pinned: PinnedModel,
    prompts: PreparedPrompts,
    template: str | None,
    decision: Decision,
    rendering: Rendering,
) -> Identity:
    return Identity.of(
        settings,
        revision=pinned.revision,
        prompts=prompts.sha256,
        chat_template=template,
        dtype=decision.dtype,
        quantization=decision.quantization,
        rendering=rendering,
        base=None if pinned.base is None else pinned.base.revision,
    )


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
