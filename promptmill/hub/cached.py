"""A model that is in the Hugging Face cache already, however it came there: for machines without internet."""

from __future__ import annotations

import json
from pathlib import Path

from promptmill import adapters
from promptmill.errors import ConfigurationError
from promptmill.hub.remote import RemoteFile
from promptmill.hub.weights import needed_files

_SHA256 = 64


def cached_model(
    repo: str, revision: str | None, *, allow_pickle: bool, remote_code: bool = False
) -> tuple[Path, tuple[str, ...]] | None:
    """Folder (named by the commit) and needed files of a model in the cache; None if it is not whole.

    The cache names each content by the digest that the Hub stated, so it is verified without asking.
    """
    from huggingface_hub import try_to_load_from_cache

    names = ("config.json", adapters.CONFIG)
    found = (try_to_load_from_cache(repo, name, revision=revision) for name in names)
    config = next((path for path in found if isinstance(path, str)), None)
    if config is None:
        return None
    folder = Path(config).parent
    there = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    try:
        needed = needed_files(repo, there, allow_pickle=allow_pickle, remote_code=remote_code)
    except ConfigurationError:
        return None
    whole = set(_parts(folder)) <= set(there) and all(_is_sound(folder / path) for path in needed)
    return (folder, needed) if whole else None


def _parts(folder: Path) -> list[str]:
    """Files of the weights that an index names."""
    index = folder / "model.safetensors.index.json"
    return list(json.loads(index.read_bytes())["weight_map"].values()) if index.exists() else []


def _is_sound(path: Path) -> bool:
    content = path.resolve()
    name = content.name
    return RemoteFile(str(path), content.stat().st_size, name, large=len(name) == _SHA256).is_same_as(content)
