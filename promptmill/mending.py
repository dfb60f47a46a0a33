"""What a run is mended with when it is started again: records that are damaged, or of another run, are set aside.

The stages then make them anew, from what they were made of the first time. Rows are not touched here: the
shard that they are in looks after them (`promptmill.shard`). The settings in `run.json` are nobody's to
guess, so a run without them is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq

from promptmill.assemble import DatasetManifest, listed_dataset
from promptmill.endpoint.record import recorded_served
from promptmill.errors import StorageError
from promptmill.files import read_json, set_aside, sha256_of
from promptmill.model import recorded_model
from promptmill.placement import Placement
from promptmill.plan import recorded_manifest
from promptmill.run import Identity, RunFolder, recorded_identity
from promptmill.verifying import verify_dataset

logger = logging.getLogger(__name__)
T = TypeVar("T")


def mend(run: RunFolder) -> None:
    """Set aside the records that cannot be believed.

    Raises:
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
    if model is not None and identity is not None and model.revision != identity.revision:
        _aside(run.model)
    _mended(run.server, lambda: recorded_served(run))
    for path in run.path.glob("placement-*.json"):
        _mended(path, lambda path=path: _own_placement(path, identity))  # type: ignore[misc]
    dataset = _mended(run.dataset_manifest, lambda: _own_dataset(run, identity))
    if dataset is not None:
        verify_dataset(run, dataset.files)
    _mended(run.published, lambda: dict(read_json(run.published)))  # type: ignore[arg-type]


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
    """The identity, unless both the rows that are there and the settings say that it is another run's.

    A fingerprint that this version would not come to is no proof: another may have begun the run. Nor
    are rows: they may be another run's themselves.
    """
    identity = recorded_identity(run)
    chunk = next(run.shards.glob("*/chunk-*.parquet"), None)
    if chunk is None:
        return identity
    try:
        mark = (pq.read_schema(chunk).metadata or {}).get(b"fingerprint", b"").decode()
    except (OSError, ValueError):
        return identity
    right = Identity.of(
        run.settings,
        revision=identity.revision,
        prompts=identity.prompts,
        chat_template=identity.chat_template,
        dtype=identity.dtype,
        quantization=identity.quantization,
        served=identity.served,
    )
    if mark != identity.fingerprint and right.fingerprint != identity.fingerprint:
        raise ValueError("the identity of another run")
    return identity


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
