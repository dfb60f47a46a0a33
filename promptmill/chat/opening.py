"""From settings to a loaded model: fetched, placed and loaded by the code that a dataset run uses."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import Any

from promptmill.chat.settings import ChatSettings
from promptmill.engine.loading import LoadedModel
from promptmill.errors import ConfigurationError, HubUnavailable
from promptmill.hardware import detect_hardware
from promptmill.hub.auth import check_access
from promptmill.model import PinnedModel, checked_model, have_model, is_at_hand, is_in_cache, kind_of
from promptmill.placing.checkpoint import inspect_model
from promptmill.placing.decision import Decision
from promptmill.placing.memory import Workload
from promptmill.placing.place import decide_place, load_decided
from promptmill.rendering.choosing import with_template

logger = logging.getLogger(__name__)

CHAT_TOKENS = 4096
"""Positions of a conversation that memory is planned for, where the model's context is not shorter."""


@dataclass(frozen=True)
class OpenedModel:
    """A model to talk to."""

    name: str
    loaded: LoadedModel
    decision: Decision

    @property
    def is_chat_model(self) -> bool:
        """Whether it has a chat template; a base model goes on from plain text."""
        return bool(self.loaded.tokenizer.chat_template)

    @property
    def summary(self) -> str:
        """One line for the user."""
        where = {"cpu": "the CPU", "one-gpu": "one GPU", "several-gpus": f"{self.decision.gpus_per_copy} GPUs"}
        place = where.get(self.decision.kind, "GPU, host memory and disk as far as they go")
        bits = "" if self.decision.quantization == "none" else f"{self.decision.quantization}, computing in "
        size = self.decision.arithmetic.parameters
        count = f"{size / 1e9:.1f} billion" if size >= 1e9 else f"{size / 1e6:.1f} million"
        how = f"{bits}{self.decision.dtype} on {place}"
        return f"{self.name}: {count} parameters, {how}; loaded in {self.loaded.load_seconds:.1f} s."


def open_model(settings: ChatSettings) -> OpenedModel:
    """Have the model on disk, decide where it goes, and load it there.

    Raises:
        AccessDenied, NotFound, HubUnavailable, StorageError: it cannot be fetched.
        ConfigurationError: hardware, model and settings do not go together.
        EngineError: it fits nowhere, or cannot be loaded.
    """
    pinned = _fetched(settings)
    checkpoint = inspect_model(pinned, remote_code=settings.trust_remote_code)
    checkpoint.require_not_again(settings.quantization)
    checkpoint.require_backend()

    def workload(tokenizer: Any) -> Workload:
        _require_system_fits(with_template(tokenizer, settings.chat_template), settings)
        return Workload(CHAT_TOKENS, settings.sampling.max_new_tokens)

    decision = decide_place(
        checkpoint,
        detect_hardware(),
        settings.placement,
        dtype=settings.dtype,
        quantization=settings.quantization,
        workload=workload,
    )
    for warning in decision.warnings:
        logger.warning("%s", warning)
    loaded = load_decided(settings.data, pinned, checkpoint, decision)
    loaded = replace(loaded, tokenizer=with_template(loaded.tokenizer, settings.chat_template))
    return OpenedModel(settings.model, loaded, decision)


def _fetched(settings: ChatSettings) -> PinnedModel:
    model, revision = checked_model(settings.model), settings.revision
    code = settings.trust_remote_code
    if kind_of(model) == "hub" and not is_at_hand(model, revision, settings.data, remote_code=code):
        try:
            check_access(model, None, now=time.time())
        except HubUnavailable:
            if not is_in_cache(model, revision, allow_pickle=settings.allow_pickle, remote_code=code):
                raise
    return have_model(model, revision, settings.data, allow_pickle=settings.allow_pickle, remote_code=code)


def _require_system_fits(tokenizer: Any, settings: ChatSettings) -> None:
    """Asked before the weights are loaded, which may take minutes."""
    if settings.system is not None and not tokenizer.chat_template:
        raise ConfigurationError(
            f"--system needs a chat model, and {settings.model} has no chat template. Put the text into the prompt "
            "itself."
        )
