"""What a run is mended with when it is started again: records that are damaged, or of another run, are set aside.

The stages then make them anew, from what they were made of the first time. Rows are not touched here: the
shard that they are in looks after them (`promptmill.shard`). The settings in `run.json` are nobody's to
guess: where they are gone, only the fingerprint of the rows can tell whether those given now are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from promptmill.assemble import DatasetManifest, listed_dataset
from promptmill.endpoint.record import recorded_served
from promptmill.errors import ConfigurationError, StorageError
from promptmill.files import read_json, set_aside, sha256_of
from promptmill.model import PinnedModel, recorded_model
from promptmill.placement import Placement
from promptmill.plan import recorded_manifest
from promptmill.run import Identity, RunFolder, is_open, recorded_identity
from promptmill.settings import RunSettings
from promptmill.shard import chunks_in, fingerprints_of_rows
from promptmill.verifying import verify_dataset

logger = logging.getLogger(__name__)
T = TypeVar("T")


def take_over(run: RunFolder, settings: RunSettings) -> None:
    """Look at what lies in the folder of a run that has no `run.json`, before it is begun with these settings.

    Rows stay if the fingerprint says that they are of these settings. Records that rows do not hang on are set aside.

    Raises:
        ConfigurationError: the rows, or the identity, are of other settings or of nobody knows which.
    """
    left = _left_behind(run)
    if not left or is_open(run):  # asked after looking: what another process begins meanwhile has its `run.json` first
        return
    identity = _readable_identity(run)
    if identity is not None and _with_settings(identity, settings).fingerprint == identity.fingerprint:
        logger.warning("%s is gone; it is written again, as the rows there are of these very settings.", run.record)
        return
    if run.identity.exists() or chunks_in(run.shards) or run.dataset_manifest.exists():
        what = "rows" if chunks_in(run.shards) else "records"
        raise ConfigurationError(
            f"{run.path} has {what} of a run whose settings are lost ({run.record.name} is gone), and the "
            "settings given now are not known to be the same. Restore that file, give the settings that the run was "
            "begun with, or start again with another --name."
        )
    for path in left:
        _aside(path)


def mend(run: RunFolder) -> None:
    """Set aside the records that cannot be believed.

    Raises:
        ConfigurationError: the settings in `run.json` are not those that the rows were made with.
        StorageError: one of them cannot be renamed.
    """
    identity = _mended(run.identity, lambda: _own_identity(run))
    prompts = _mended(run.prompts, lambda: recorded_manifest(run))
    if prompts is not None and not _are_these(run.prompts_table, prompts.file_sha256):
        _aside(run.prompts_table)
        _aside(run.prompts)
    elif prompts is not None and identity is not None and prompts.prompts.sha256 != identity.prompts:
        _aside(run.prompts)
    model = _mended(run.model, lambda: recorded_model(run.model))
    if model is not None and identity is not None and _revisions(model) != (identity.revision, identity.base):
        _aside(run.model)
    served = _mended(run.server, lambda: recorded_served(run))
    if served is not None and identity is not None and served.identity != identity.served:
        _aside(run.server)
    for path in run.path.glob("placement-*.json"):
        _mended(path, lambda path=path: _own_placement(path, identity))  # type: ignore[misc]
    dataset = _mended(run.dataset_manifest, lambda: _own_dataset(run, identity))
    if dataset is not None:
        verify_dataset(run, dataset.files)
    _mended(run.published, lambda: dict(read_json(run.published)))  # type: ignore[arg-type]


def _revisions(model: PinnedModel) -> tuple[str, str | None]:
    return model.revision, None if model.base is None else model.base.revision


def _mended(path: Path, read: Callable[[], T]) -> T | None:
    """What `read` makes of a record; None, and it is set aside, if it makes nothing of it."""
    if not path.exists():
        return None  # and before it is read: what another process makes meanwhile is not damaged
    try:
        if read_json(path) is not None:
            return read()
    except (StorageError, KeyError, TypeError, ValueError, AttributeError):
        pass
    _aside(path)
    return None


def _aside(path: Path) -> None:
    if path.exists():
        logger.warning("%s is damaged, or of another run; it is set aside as %s.", path, set_aside(path).name)


def _own_identity(run: RunFolder) -> Identity:
    """The identity, if it is that of the run's settings; else the rows tell which of the two is foreign.

    Raises:
        ConfigurationError: the rows are of the identity, and so not of the settings.
        ValueError: the identity is another run's.
    """
    identity = recorded_identity(run)
    if _with_settings(identity, run.settings).fingerprint == identity.fingerprint:
        return identity
    if identity.fingerprint in fingerprints_of_rows(run.shards):
        raise ConfigurationError(
            f"The settings in {run.record} are not those that the rows of {run.path} were made with: it is another "
            "run's. Restore it, or start again with another --name."
        )
    raise ValueError("the identity of another run")


def _with_settings(identity: Identity, settings: RunSettings) -> Identity:
    """What the identity would be if the same model, prompts and dtype had been used with these settings."""
    return Identity.of(
        settings,
        revision=identity.revision,
        prompts=identity.prompts,
        chat_template=identity.chat_template,
        dtype=identity.dtype,
        quantization=identity.quantization,
        served=identity.served,
        rendering=identity.rendering,
        base=identity.base,
    )


def _readable_identity(run: RunFolder) -> Identity | None:
    try:
        return recorded_identity(run)
    except (StorageError, TypeError):
        return None


def _left_behind(run: RunFolder) -> list[Path]:
    """Records of ours that are there, and so were made for some settings."""
    single = (run.identity, run.model, run.prompts, run.server, run.dataset_manifest, run.published)
    there = [path for path in single if path.exists()]
    return [*there, *run.path.glob("placement-*.json"), *chunks_in(run.shards)]


def _own_dataset(run: RunFolder, identity: Identity | None) -> DatasetManifest | None:
    dataset = listed_dataset(run)
    if dataset is not None and identity is not None and dataset.fingerprint != identity.fingerprint:
        raise ValueError("the dataset of another run")
    return dataset


def _own_placement(path: Path, identity: Identity | None) -> Placement:
    value: dict[str, Any] = read_json(path) or {}
    # Versions before this one did not note whose it is.
    if identity is not None and value.get("fingerprint", identity.fingerprint) != identity.fingerprint:
        raise ValueError("the placement of another run")
    return Placement.from_json(value)


def _are_these(table: Path, sha256: str) -> bool:
    try:
        state = table.stat()
    except FileNotFoundError:
        return False
    return _sha256(table, state.st_mtime_ns, state.st_size) == sha256


@lru_cache(maxsize=8)
def _sha256(path: Path, _changed: int, _size: int) -> str:
    # Asked several times at each start: what has not changed is not read again.
    return sha256_of(path)
