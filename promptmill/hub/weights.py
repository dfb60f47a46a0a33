"""Which files of a model repository are needed, and of the formats of its weights which one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from promptmill.adapters import CONFIG, PICKLE, WEIGHTS, is_adapter, no_pickle
from promptmill.errors import ConfigurationError

# What transformers reads besides weights.
_TEXTS = re.compile(r"[^/]+\.(json|txt|model|jinja|tiktoken|vocab|merges|spm)|additional_chat_templates/[^/]+\.jinja")
_CODE = re.compile(r".+\.py")
_LICENCE = re.compile(r"(LICEN[CS]E|NOTICE)[^/]*", re.IGNORECASE)
_SAFETENSORS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_PICKLES = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")
_INDEX = {"model": "model.safetensors.index.json", "pytorch_model": "pytorch_model.bin.index.json"}
_OTHER_INDEX = re.compile(r"[^/]+\.index(\.[^/]+)?\.json")


def needed_files(model: str, paths: Iterable[str], *, allow_pickle: bool, remote_code: bool = False) -> tuple[str, ...]:
    """The files of `paths` to download: one format of the weights, never two.

    Safetensors if there are any; else a GGUF file if it is the only one; else, where allowed, pickles.
    Copies in other formats (onnx, tf, flax, original/, consolidated) are left on the Hub; and so are Python files
    unless the user lets the model's own code run.

    Raises:
        ConfigurationError: there are no weights that can be used.
    """
    there = sorted(paths)
    weights = _adapter(model, there) if is_adapter(there) else _weights(model, there, allow_pickle=allow_pickle)
    texts = [path for path in there if _TEXTS.fullmatch(path) and not _OTHER_INDEX.fullmatch(path)]
    licences = [path for path in there if _LICENCE.fullmatch(path)]
    code = [path for path in there if remote_code and _CODE.fullmatch(path)]
    return tuple(sorted({*texts, *licences, *weights, *code}))


def is_pickle(path: str) -> bool:
    """Whether loading the file as it is could run code."""
    return _PICKLES.fullmatch(path) is not None


def _adapter(model: str, there: list[str]) -> list[str]:
    if WEIGHTS in there:
        return [WEIGHTS]
    if PICKLE in there:
        raise ConfigurationError(no_pickle(model))
    raise ConfigurationError(
        f"The model {model} has {CONFIG} and no {WEIGHTS}. Choose another --revision, or another adapter."
    )


def _weights(model: str, there: list[str], *, allow_pickle: bool) -> list[str]:
    safetensors = _format(there, _SAFETENSORS, "model.safetensors", _INDEX["model"])
    if safetensors:
        return safetensors
    ggufs = [path for path in there if path.endswith(".gguf")]
    if len(ggufs) == 1 and "/" not in ggufs[0]:
        return ggufs
    pickles = _format(there, _PICKLES, "pytorch_model.bin", _INDEX["pytorch_model"])
    if pickles and allow_pickle:
        return pickles
    raise ConfigurationError(_no_weights(model, there, ggufs, pickles))


def _format(there: list[str], pattern: re.Pattern[str], single: str, index: str) -> list[str]:
    if single in there:
        return [single]
    parts = [path for path in there if pattern.fullmatch(path)]
    return [*parts, *(path for path in [index] if path in there)] if parts else []


def _no_weights(model: str, there: list[str], ggufs: list[str], pickles: list[str]) -> str:
    if pickles:
        return (
            f"The model {model} has its weights as {pickles[0]} alone, a pickle, which can run code when it is loaded. "
            "Choose a --revision with safetensors (often refs/pr/1; see the model's pull requests), or, if you trust "
            "its owner, give --allow-pickle."
        )
    if ggufs:
        return (
            f"The model {model} has no safetensors but {len(ggufs)} GGUF files ({', '.join(ggufs[:3])}, …). "
            "Download the one you want into a folder with its tokenizer, and give --model that folder."
        )
    some = ", ".join(path for path in there[:6]) or "none"
    return f"The model {model} has no weights that transformers can load (its files: {some}). Choose another model."
