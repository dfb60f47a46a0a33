"""Where a model comes from, and which bytes of it a run uses from its first task to its last."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from promptmill.demo import ensure_demo_model
from promptmill.errors import ConfigurationError, NotFound
from promptmill.files import create_json, read_json, sha256_of, write_json
from promptmill.hub.download import download_model, resolve_commit
from promptmill.settings import DEMO

logger = logging.getLogger(__name__)

ModelKind = Literal["demo", "local", "hub"]
_PATH_STARTS = ("/", "./", "../", "~")


@dataclass(frozen=True)
class PinnedModel:
    """The very bytes that a run uses.

    Attributes:
        model: as it was asked for.
        kind: where it came from.
        revision: commit of a Hub model; digest of all files for a folder.
        folder: where its files are on this machine.
        files: size in bytes of each, by which a missing or cut file is noticed.
    """

    model: str
    kind: ModelKind
    revision: str
    folder: str
    files: dict[str, int]

    def is_on_disk(self) -> bool:
        """Whether every file is there in its full length."""
        return all(_size(Path(self.folder) / name) == size for name, size in self.files.items())


def kind_of(model: str) -> ModelKind:
    """`demo`, a local folder, or a Hub repo; by its form, and by whether such a folder is there."""
    if model == DEMO:
        return "demo"
    return "local" if model.startswith(_PATH_STARTS) or Path(model).is_dir() else "hub"


def checked_model(model: str) -> str:
    """The model as settings hold it: a folder by its absolute path.

    Raises:
        NotFound: there is no such folder.
        ConfigurationError: the folder holds no model, or the id is malformed.
    """
    kind = kind_of(model)
    if kind == "local":
        return str(_checked_folder(Path(model).expanduser().resolve(), model))
    if kind == "hub":
        _require_repo_id(model)
    return model


def public_name(model: str) -> str:
    """The model as others may read it: a folder by its name, without its path on this machine."""
    return Path(model).name if kind_of(model) == "local" else model


def pin_model(model: str, revision: str | None, data: Path, pin: Path) -> PinnedModel:
    """Have the model on disk and write down which; once pinned, a run never moves to another commit.

    Raises:
        AccessDenied, NotFound, HubUnavailable: see `promptmill.hub.errors`.
        ConfigurationError: a folder's content is not what the run was begun with.
    """
    pinned = recorded_model(pin)
    if pinned is not None and pinned.is_on_disk():
        return pinned
    fresh = _fetch(model, revision if pinned is None else pinned.revision, data)
    if pinned is not None and pinned.revision != fresh.revision:
        raise ConfigurationError(
            f"The files in {fresh.folder} are not those that the run was begun with. "
            "Restore them, or start again with another --name."
        )
    write_json(data / "models" / f"{model.replace('/', '--').strip('-')}@{fresh.revision}.json", asdict(fresh))
    if not create_json(pin, asdict(fresh)):
        write_json(pin, asdict(fresh))
    return fresh


def recorded_model(pin: Path) -> PinnedModel | None:
    """The model that a run is pinned to; None if it is not yet."""
    value = read_json(pin)
    return None if value is None else PinnedModel(**value)


def _fetch(model: str, revision: str | None, data: Path) -> PinnedModel:
    kind = kind_of(model)
    if kind == "hub":
        commit = resolve_commit(model, revision)
        logger.info("Model %s at commit %s", model, commit)
        folder = download_model(model, commit)
        return PinnedModel(model, kind, commit, str(folder), _sizes(folder))
    folder = ensure_demo_model(data / "models") if kind == "demo" else Path(model)
    return PinnedModel(model, kind, _digest(folder), str(folder.resolve()), _sizes(folder))


def _checked_folder(folder: Path, typed: str) -> Path:
    if not folder.is_dir():
        raise NotFound(
            f"--model {typed}: there is no such folder. Give a folder, a Hub repo id such as gpt2, or `demo`."
        )
    if not (folder / "config.json").is_file():
        raise ConfigurationError(
            f"--model {typed}: the folder has no config.json, so it is not a Hugging Face model. "
            "Save one there with `model.save_pretrained(folder)` and `tokenizer.save_pretrained(folder)`."
        )
    return folder


def _require_repo_id(model: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError as error:
        raise ConfigurationError(
            f"--model {model!r} is neither a folder nor a Hub repo id. "
            "Write `demo`, `gpt2`, `owner/name` or `./folder`."
        ) from error


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in sorted(_sizes(folder)):
        digest.update(f"{name}\0{sha256_of(folder / name)}\n".encode())
    return digest.hexdigest()[:40]


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.stat().st_size for path in files}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
