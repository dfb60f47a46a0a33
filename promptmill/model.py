"""Where a model comes from, and which bytes of it a run uses from its first task to its last."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from promptmill import adapters
from promptmill.demo import ensure_demo_model
from promptmill.errors import AccessDenied, ConfigurationError, HubUnavailable, NotFound
from promptmill.files import create_json, read_json, write_json
from promptmill.hub.cached import cached_model
from promptmill.hub.download import Resolved, download_model, resolve
from promptmill.hub.errors import prepare_command
from promptmill.hub.pickled import without_pickles
from promptmill.local_model import all_files, digests_of, files_that_are_read, first_difference, joined
from promptmill.settings import DEMO, RunSettings

logger = logging.getLogger(__name__)

ModelKind = Literal["demo", "local", "hub"]
DEMO_LICENSE = "apache-2.0"
_PATH_STARTS = ("/", "./", "../", "~")


@dataclass(frozen=True)
class PinnedModel:
    """The very bytes that a run uses.

    Attributes:
        model: as it was asked for.
        kind: where it came from.
        revision: commit of a Hub model; digest of the files that loading reads for a folder.
        folder: where its files are on this machine.
        files: size in bytes of each, by which a missing or cut file is noticed.
        changed: of a Hub model, when each verified file last changed (nanoseconds since the epoch): as long as
            that stays, it need not be verified again.
        asked: branch, tag or commit that was asked for; None for main.
        license: as the model's card states it; None if it does not.
        code: whether the Python files of a Hub model are among its files.
        digests: SHA-256 of each file of a folder.
        base: where it is an adapter, the model that it changes.
    """

    model: str
    kind: ModelKind
    revision: str
    folder: str
    files: dict[str, int]
    changed: dict[str, int] = field(default_factory=dict)
    asked: str | None = None
    license: str | None = None
    code: bool = False
    digests: dict[str, str] = field(default_factory=dict)
    base: PinnedModel | None = None

    @property
    def weights(self) -> PinnedModel:
        """The model that holds the weights: of an adapter its base."""
        return self.base or self

    def is_on_disk(self) -> bool:
        """Whether every file is there in its full length, and as it was when it was verified; the base's as well."""
        folder = Path(self.folder)
        return (
            (self.base is None or self.base.is_on_disk())
            and all(_size(folder / name) == size for name, size in self.files.items())
            and all(_changed(folder / name) == moment for name, moment in self.changed.items())
        )


def kind_of(model: str) -> ModelKind:
    """`demo`, a local folder, or a Hub repo; by its form, and by whether such a folder is there."""
    if model == DEMO:
        return "demo"
    return "local" if model.startswith(_PATH_STARTS) or _is_folder(Path(model)) else "hub"


def checked_model(model: str) -> str:
    """The model as settings hold it: a folder by its absolute path.

    Raises:
        NotFound: there is no such folder.
        ConfigurationError: the folder holds no model, or the id is malformed.
    """
    kind = kind_of(model)
    if kind == "local":
        return str(_checked_folder(model))
    if kind == "hub":
        _require_repo_id(model)
    return model


def public_name(model: str) -> str:
    """The model as others may read it: a folder by its name, without its path on this machine."""
    return Path(model).name if kind_of(model) == "local" else model


def published_model(settings: RunSettings) -> str:
    """The model as dataset and card name it: what a server calls its model is a path only if it looks like one."""
    if settings.loads_model:
        return public_name(settings.model)
    return Path(settings.model).name if settings.model.startswith(_PATH_STARTS) else settings.model


def pin_model(
    model: str,
    revision: str | None,
    data: Path,
    pin: Path,
    *,
    fixed: str | None = None,
    fixed_base: str | None = None,
    allow_pickle: bool = False,
    remote_code: bool = False,
) -> PinnedModel:
    """Have the model on disk and write down which; once pinned, a run never moves to another commit.

    Args:
        fixed: commit or digest in the run's identity, which holds where the pin is gone; None before there is one.
        fixed_base: likewise of the model that an adapter changes.

    Raises:
        AccessDenied, NotFound, HubUnavailable: see `promptmill.hub.errors`.
        ConfigurationError: a folder's content is not what the run was begun with.
        StorageError: there is no space for it.
    """
    pinned = recorded_model(pin)
    if pinned is not None and pinned.is_on_disk():
        return pinned
    known = fixed if pinned is None else pinned.revision
    known_base = fixed_base if pinned is None or pinned.base is None else pinned.base.revision
    fresh = have_model(
        model,
        known or revision,
        data,
        allow_pickle=allow_pickle,
        remote_code=remote_code,
        base_revision=known_base,
    )
    if known is not None and known != fresh.revision:
        fresh = _as_begun(fresh, known, pinned)
    if known_base is not None and fresh.base is not None and known_base != fresh.base.revision:
        fresh = replace(fresh, base=_as_begun(fresh.base, known_base, pinned and pinned.base))
    if not create_json(pin, asdict(fresh)):
        write_json(pin, asdict(fresh))
    return fresh


def have_model(
    model: str,
    revision: str | None,
    data: Path,
    *,
    allow_pickle: bool = False,
    remote_code: bool = False,
    base_revision: str | None = None,
) -> PinnedModel:
    """Have the model on disk, of an adapter its base as well, and write down in the data folder which commits.

    Where the Hub cannot be asked, the commit that was fetched last for this revision serves.

    Args:
        base_revision: of the model that an adapter changes; None for the one that its config names, or main.

    Raises:
        As `pin_model`.
    """
    found = _have(model, revision, data, allow_pickle=allow_pickle, remote_code=remote_code)
    if adapters.CONFIG not in found.files:
        return found
    if not adapters.is_adapter(found.files):
        logger.warning(
            "%s holds a whole model and an adapter beside it: the model is used, without the adapter.", model
        )
        return found
    adapter = adapters.read_adapter(Path(found.folder))
    name = _base_of(found, adapter.base)
    logger.info("%s is an adapter of %s.", model, name)
    revision = base_revision or (adapter.revision if kind_of(name) == "hub" else None)
    try:
        base = _have(name, revision, data, allow_pickle=allow_pickle, remote_code=remote_code)
    except (AccessDenied, NotFound, HubUnavailable) as error:
        raise type(error)(f"{error} It is the base model that the adapter {model} names.") from error
    if adapters.is_adapter(base.files):
        raise ConfigurationError(
            f"The base model of {model} is {name}, which is an adapter itself. Merge that into its own base model with "
            "peft (`merge_and_unload`), and name the folder as base_model_name_or_path."
        )
    return _written(data, replace(found, base=base, license=found.license or base.license))


def _base_of(adapter: PinnedModel, named: str) -> str:
    """The base as settings hold a model.

    Raises:
        ConfigurationError: there is no such folder on this machine, it holds no model, or the name is none of one.
    """
    try:
        return checked_model(named)
    except (NotFound, ConfigurationError) as error:
        first = f"Download {adapter.model} into a folder, and give --model that. " if adapter.kind == "hub" else ""
        raise ConfigurationError(
            f"The adapter {adapter.model} names {named!r} as its base model, which is no model on this machine and no "
            f"Hub repo id. {first}Correct base_model_name_or_path in its {adapters.CONFIG}: a Hub id, or a folder that "
            "holds the whole model."
        ) from error


def _have(model: str, revision: str | None, data: Path, *, allow_pickle: bool, remote_code: bool) -> PinnedModel:
    kind = kind_of(model)
    if kind == "hub":
        return _have_hub_model(model, revision, data, allow_pickle=allow_pickle, remote_code=remote_code)
    folder = ensure_demo_model(data / "models") if kind == "demo" else Path(model)
    local = _in_folder(model, kind, folder)
    write_json(_record(data, model, local.revision), asdict(local))
    return local


def is_at_hand(
    model: str, revision: str | None, data: Path, pin: Path | None = None, *, remote_code: bool = False
) -> bool:
    """Whether a Hub model is needed from the Hub no more: pinned to this run, or fetched before, and on disk."""
    pinned = recorded_model(pin) if pin is not None else None
    if pinned is not None:
        return pinned.is_on_disk()
    found = _fetched_before(model, revision, data, code=remote_code)
    return found is not None and (found.base is not None or not adapters.is_adapter(found.files))


def recorded_model(pin: Path) -> PinnedModel | None:
    """The model that a run is pinned to; None if it is not yet."""
    value = read_json(pin)
    return None if value is None else _read(value)


def _read(value: dict[str, Any]) -> PinnedModel:
    base = value.get("base")
    return PinnedModel(**{**value, "base": None if base is None else _read(base)})


def is_in_cache(model: str, revision: str | None, *, allow_pickle: bool = False, remote_code: bool = False) -> bool:
    """Whether another program left a Hub model whole in the Hugging Face cache; reads all of it."""
    return cached_model(model, revision, allow_pickle=allow_pickle, remote_code=remote_code) is not None


def _in_folder(model: str, kind: ModelKind, folder: Path) -> PinnedModel:
    files = files_that_are_read(folder)
    digests = digests_of(folder, files)
    licence = DEMO_LICENSE if kind == "demo" else None
    return PinnedModel(model, kind, joined(digests), str(folder.resolve()), files, license=licence, digests=digests)


def _as_begun(fresh: PinnedModel, known: str, pinned: PinnedModel | None) -> PinnedModel:
    """The model of a run that was begun when digests were over all files of a folder.

    Raises:
        ConfigurationError: neither digest is the one that the run was begun with.
    """
    folder = Path(fresh.folder)
    whole = all_files(folder) if fresh.kind != "hub" else {}
    if whole and joined(digests_of(folder, whole)) == known:
        return replace(fresh, revision=known, files=whole, digests={})
    differs = first_difference(pinned.digests if pinned is not None else {}, fresh.digests)
    raise ConfigurationError(
        f"The files in {fresh.folder} are not those that the run was begun with{f': {differs}' if differs else ''}. "
        "Restore them, or start again with another --name."
    )


def _have_hub_model(
    model: str, revision: str | None, data: Path, *, allow_pickle: bool, remote_code: bool
) -> PinnedModel:
    try:
        resolved = resolve(model, revision)
    except HubUnavailable as error:
        known = _fetched_before(model, revision, data, code=remote_code) or _cached(
            model, revision, data, allow_pickle=allow_pickle, remote_code=remote_code
        )
        if known is None:
            raise HubUnavailable(
                f"{error} The files of {model} are not all on this disk; "
                f"`{prepare_command(model, remote_code=remote_code)}` fetches them."
            ) from error
        logger.warning("The Hub cannot be asked; going on with %s as it was fetched, commit %s.", model, known.revision)
        return known
    logger.info("Model %s at commit %s", model, resolved.commit)
    known = _recorded(data, model, resolved.commit)
    if known is not None and known.code >= remote_code and known.is_on_disk():
        return _written(data, replace(known, asked=_asked(revision)))
    folder, files = download_model(model, resolved.commit, allow_pickle=allow_pickle, remote_code=remote_code)
    return _written(data, _pinned(model, resolved, revision, data, folder, files, code=remote_code))


def _pinned(
    model: str,
    resolved: Resolved,
    revision: str | None,
    data: Path,
    folder: Path,
    files: tuple[str, ...],
    *,
    code: bool,
) -> PinnedModel:
    plain = f"{_slug(model)}@{resolved.commit}-safetensors{'-code' if code else ''}"
    folder, files = without_pickles(folder, files, data / "models" / plain)
    return PinnedModel(
        model,
        "hub",
        resolved.commit,
        str(folder),
        {name: _size(folder / name) for name in files},
        {name: _changed(folder / name) for name in files},
        asked=_asked(revision),
        license=resolved.license,
        code=code,
    )


def _cached(
    model: str, revision: str | None, data: Path, *, allow_pickle: bool, remote_code: bool
) -> PinnedModel | None:
    """The model as another program left it in the Hugging Face cache."""
    found = cached_model(model, revision, allow_pickle=allow_pickle, remote_code=remote_code)
    if found is None:
        return None
    folder, files = found
    return _written(data, _pinned(model, Resolved(folder.name, None), revision, data, folder, files, code=remote_code))


def _fetched_before(model: str, revision: str | None, data: Path, *, code: bool) -> PinnedModel | None:
    """What was fetched last for this revision, if it is still on disk."""
    records = sorted((data / "models").glob(f"{_slug(model)}@*.json"), key=_changed, reverse=True)
    known = (recorded_model(path) for path in records)
    right = (found for found in known if found is not None and _asked(revision) in (found.asked, found.revision))
    return next((found for found in right if found.code >= code and found.is_on_disk()), None)


def _recorded(data: Path, model: str, commit: str) -> PinnedModel | None:
    return recorded_model(_record(data, model, commit))


def _written(data: Path, pinned: PinnedModel) -> PinnedModel:
    write_json(_record(data, pinned.model, pinned.revision), asdict(pinned))
    return pinned


def _record(data: Path, model: str, revision: str) -> Path:
    return data / "models" / f"{_slug(model)}@{revision}.json"


def _asked(revision: str | None) -> str | None:
    return None if revision == "main" else revision


def _slug(model: str) -> str:
    return public_name(model).replace("/", "--").strip("-")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, a folder above it that may not be read
        return False


def _checked_folder(typed: str) -> Path:
    try:
        folder = Path(typed).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, no such user, a NUL
        raise NotFound(f"--model {typed!r} cannot be looked for ({error}). Give a folder that is there.") from error
    if not _is_folder(folder):
        raise NotFound(
            f"--model {typed}: there is no such folder. Give a folder, a Hub repo id such as gpt2, or `demo`."
        )
    if not any((folder / name).is_file() for name in ("config.json", adapters.CONFIG)):
        raise ConfigurationError(
            f"--model {typed}: the folder has no config.json and no {adapters.CONFIG}, so it is not a Hugging "
            "Face model. Save one there with `model.save_pretrained(folder)` and `tokenizer.save_pretrained(folder)`."
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


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1
