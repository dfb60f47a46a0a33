"""Reading what describes a model: kilobytes of gigabytes, from a folder, the Hub or the demo package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptmill import adapters
from promptmill.errors import ConfigurationError, EngineError, HubUnavailable
from promptmill.fitting.model import Source
from promptmill.model import checked_model, kind_of
from promptmill.placing.gguf_header import gguf_config
from promptmill.placing.headers import StoredTensor, stored_tensors, weight_files
from promptmill.settings import DEMO

if TYPE_CHECKING:
    from huggingface_hub.utils._safetensors import SafetensorsRepoMetadata

CONFIG = "config.json"


_CODE = (
    "It comes with Python code of its own, which was not run to work this out; a run needs --trust-remote-code for it."
)


def read_source(model: str, revision: str | None = None) -> Source:
    """What describes a model: `demo`, a Hub repo id, a folder, or a config.json.

    Raises:
        NotFound, AccessDenied, HubUnavailable: see `promptmill.hub.errors`.
        ConfigurationError: there is no config that can be read.
    """
    source = _read(model, revision)
    if "auto_map" not in source.config:
        return source
    return replace(source, note=" ".join(note for note in (source.note, _CODE) if note))


def _read(model: str, revision: str | None) -> Source:
    if model == DEMO:
        return _demo()
    if model.endswith(".json") and Path(model).is_file():
        return Source(model, str(Path(model).parent), "local", None, _json(Path(model)), None, note=_CONFIG_ALONE)
    if kind_of(model) == "local":
        folder = Path(checked_model(model))
        if adapters.is_adapter(adapters.names_in(folder)):
            return _adapter(adapters.read_adapter(folder), model, "local", None)
        return _folder(folder, model)
    return _hub(checked_model(model), revision)


def _adapter(adapter: adapters.Adapter, model: str, kind: str, revision: str | None) -> Source:
    """What describes the base of an adapter, under the adapter's name."""
    base = _read(adapter.base, adapter.revision)
    note = f"It is an adapter of {adapter.base}, which these are of; its own weights come on top."
    said = " ".join(one for one in (note, base.note) if one)
    return replace(base, name=model, model=model, kind=kind, revision=revision, note=said)


_CONFIG_ALONE = "Only the config was read: there are no weights beside it, so these are worked out from it."


def _demo() -> Source:
    from promptmill.demo import DEMO_ORIGIN, demo_gguf

    note = f"The demo model is {DEMO_ORIGIN}, from a package; it is unpacked to float32 once."
    return Source(DEMO, DEMO, "demo", None, gguf_config(demo_gguf()), None, note=note)


def _folder(folder: Path, typed: str) -> Source:
    config = _json(folder / CONFIG)
    try:
        tensors = list(stored_tensors(folder)) if weight_files(folder) else None
    except EngineError as error:
        return Source(typed, typed, "local", None, config, None, note=f"The weights are not whole: {error}")
    if tensors is not None:
        return Source(typed, typed, "local", None, config, tensors)
    gguf = len(list(folder.glob("*.gguf"))) == 1
    return Source(typed, typed, "local", None, config, None, gguf=gguf, note=None if gguf else _CONFIG_ALONE)


def _hub(repo: str, revision: str | None) -> Source:
    from promptmill.hub.errors import hub_errors
    from promptmill.hub.patience import CHECKING
    from promptmill.hub.session import patient

    try:
        with patient(CHECKING), hub_errors(repo):
            return _asked(repo, revision)
    except HubUnavailable as error:
        folder = _cached(repo, revision)
        if folder is None:
            raise
        cached = _folder(folder, repo)
        note = f"The Hub cannot be asked ({str(error).split(':')[0].split('. ')[0]}); this is from the cache."
        return Source(repo, repo, "hub", folder.name, cached.config, cached.tensors, cached.gguf, note)


def _asked(repo: str, revision: str | None) -> Source:
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi().model_info(repo, revision=revision)
    files = [file.rfilename for file in info.siblings or ()]
    if adapters.is_adapter(files):
        path = Path(hf_hub_download(repo, adapters.CONFIG, revision=revision))
        return _adapter(adapters.read_config(path.parent), repo, "hub", str(info.sha))
    if CONFIG not in files:
        raise ConfigurationError(
            f"The model {repo} has no {CONFIG} (its files: {', '.join(files[:6]) or 'none'}), so it is none that "
            "transformers loads as it is. Choose another one; a GGUF repository names the original in its card."
        )
    # By the name that was asked for, so that the cache knows it where there is no network.
    config = _json(Path(hf_hub_download(repo, CONFIG, revision=revision)))
    tensors = _tensors(repo, str(info.sha))
    ggufs = [file for file in files if file.endswith(".gguf")]
    gguf = tensors is None and len(ggufs) == 1
    note = None if tensors is not None or gguf else _without_headers(files)
    return Source(repo, repo, "hub", str(info.sha), config, tensors, gguf, note)


def _tensors(repo: str, commit: str) -> list[StoredTensor] | None:
    from huggingface_hub import get_safetensors_metadata
    from huggingface_hub.errors import NotASafetensorsRepoError

    try:
        return _of_metadata(get_safetensors_metadata(repo, revision=commit))
    except NotASafetensorsRepoError:
        return None


def _of_metadata(metadata: SafetensorsRepoMetadata) -> list[StoredTensor]:
    return [
        StoredTensor(name, tensor.dtype, tuple(tensor.shape), tensor.data_offsets[1] - tensor.data_offsets[0])
        for file in metadata.files_metadata.values()
        for name, tensor in file.tensors.items()
    ]


def _without_headers(files: Sequence[str]) -> str:
    pickles = [file for file in files if file.endswith((".bin", ".pt", ".pth"))]
    if pickles:
        return (
            f"Its weights are pickles alone ({pickles[0]}), so they are worked out from the config; BuildDataset needs "
            "--allow-pickle for them, or a --revision with safetensors."
        )
    return _CONFIG_ALONE


def _cached(repo: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, CONFIG, revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read ({error}). Save the model's config there again.") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} is no JSON object, so it is no config of a model.")
    return value
