"""A model that comes as an adapter: what changes a base model, which its config names and which lies elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from promptmill.errors import ConfigurationError, EngineError

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PICKLE = "adapter_model.bin"
_WHOLE = ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors", "*.gguf", "pytorch_model*.bin")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")
_TYPES = ("LORA", "IA3", "LOHA", "LOKR")
_TASKS = (None, "CAUSAL_LM")


@dataclass(frozen=True)
class Adapter:
    """What an adapter's config says.

    Attributes:
        base: the model that it changes: a Hub id, or a folder.
        revision: of that model; None if the config names none.
    """

    base: str
    revision: str | None


def is_adapter(names: Iterable[str]) -> bool:
    """Whether files are an adapter's; beside the weights of a whole model they are not, and that is the model."""
    there = set(names)
    return CONFIG in there and not holds_model(there)


def holds_model(names: Iterable[str]) -> bool:
    """Whether files hold the weights of a whole model."""
    return any(fnmatch(name, pattern) for name in names for pattern in _WHOLE)


def names_in(folder: Path) -> set[str]:
    """The names of the files in a folder."""
    return {path.name for path in folder.iterdir() if path.is_file()}


def read_adapter(folder: Path) -> Adapter:
    """What the config of a whole adapter says.

    Raises:
        As `read_config`.
        ConfigurationError: its weights are a pickle.
        EngineError: there are none.
    """
    adapter = read_config(folder)
    _require_weights(folder)
    return adapter


def read_config(folder: Path) -> Adapter:
    """What an adapter's config says, and whether it is one that can be loaded.

    Raises:
        ConfigurationError: it names no base model, or is of a kind that is not loaded.
        EngineError: its config is damaged.
    """
    config = _config(folder / CONFIG)
    _require_kind(folder, config)
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(base, str) or not base:
        raise ConfigurationError(
            f"{folder / CONFIG} names no base model, so it is not known which one the adapter changes. Put its Hub id "
            "or folder there as base_model_name_or_path."
        )
    return Adapter(base, revision if isinstance(revision, str) and revision else None)


def tokenizer_folder(adapter: Path, base: Path) -> Path:
    """Where the tokenizer lies: beside the adapter if one was saved there, as trainers do, else with the base."""
    return adapter if any((adapter / name).is_file() for name in _TOKENIZER) else base


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise EngineError(f"{path} cannot be read ({error}). Copy the whole adapter again.") from error
    if not isinstance(config, dict):
        raise EngineError(f"{path} is no JSON object, so it is no config of an adapter. Copy the whole adapter again.")
    return config


def _require_weights(folder: Path) -> None:
    if (folder / WEIGHTS).is_file():
        return
    if (folder / PICKLE).is_file():
        raise ConfigurationError(no_pickle(str(folder)))
    raise EngineError(f"{folder} holds {CONFIG} and no {WEIGHTS}. Copy the whole adapter again.")


def no_pickle(adapter: str) -> str:
    """Says that an adapter's weights are a pickle, and what to do."""
    return (
        f"The adapter {adapter} has its weights as {PICKLE}, a pickle, which can run code when it is loaded. If you "
        "trust it, save it again with `PeftModel.from_pretrained(base, folder).save_pretrained(folder)`."
    )


def _require_kind(folder: Path, config: dict[str, Any]) -> None:
    kind, task = config.get("peft_type"), config.get("task_type")
    if kind not in _TYPES:
        raise ConfigurationError(
            f"The adapter in {folder} is of peft_type {kind}; promptmill loads {', '.join(_TYPES)}. Merge it into its "
            "base model with peft (`merge_and_unload`) if it can be, save that, and give --model its folder."
        )
    if task not in _TASKS:
        raise ConfigurationError(
            f"The adapter in {folder} was trained for the task {task}, and not to go on writing a text. Choose one "
            "whose task_type is CAUSAL_LM."
        )
    # peft would import whatever package the config names; and it needs what the tokens of a prompt are.
    for name in ("megatron_config", "alora_invocation_tokens"):
        if config.get(name):
            raise ConfigurationError(
                f"{folder / CONFIG} sets {name}, which promptmill does not load. Choose an adapter without it."
            )
