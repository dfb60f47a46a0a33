"""A model from the Hub: its revision pinned to a commit, its files verified in the standard cache."""

from __future__ import annotations

import glob
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from promptmill.errors import HubUnavailable
from promptmill.hub.errors import hub_errors
from promptmill.hub.patience import CHECKING, DOWNLOADING, Budget, Patience
from promptmill.hub.remote import RemoteFile, remote_files
from promptmill.hub.session import patient
from promptmill.hub.space import no_room, readable, require_room, room_for
from promptmill.hub.trouble import FULL, chain, passing
from promptmill.hub.watch import Watch
from promptmill.hub.weights import needed_files

logger = logging.getLogger(__name__)

_DAMAGED_TRIES = 3
_LEFTOVER_SECONDS = 3600


@dataclass(frozen=True)
class Resolved:
    """What a revision stands for, and the model's licence as its card states it (None: it does not)."""

    commit: str
    license: str | None


def resolve(repo: str, revision: str | None, *, patience: Patience = CHECKING) -> Resolved:
    """The commit that `revision` (default: main) of a model stands for now.

    Raises:
        AccessDenied, NotFound, HubUnavailable: see `hub_errors`.
    """
    from huggingface_hub import HfApi

    with patient(patience), hub_errors(repo):
        info = HfApi().model_info(repo, revision=revision)
    licence = info.card_data.get("license") if info.card_data is not None else None
    return Resolved(str(info.sha), ", ".join(licence) if isinstance(licence, list) else licence)


def download_model(
    repo: str,
    commit: str,
    *,
    allow_pickle: bool = False,
    remote_code: bool = False,
    patience: Patience = DOWNLOADING,
) -> tuple[Path, tuple[str, ...]]:
    """Have the needed files of a model in the Hugging Face cache, whole and verified; returns folder and files.

    Files that are there are not downloaded again. Each is compared with the digest that the Hub
    states; one that differs is fetched again.

    Raises:
        AccessDenied, NotFound, HubUnavailable: see `hub_errors`.
        ConfigurationError: the weights are in no format that is allowed.
        StorageError: there is no space for them.
    """
    with patient(patience) as budget, hub_errors(repo):
        listed = remote_files(repo, "model", commit)
        needed = needed_files(repo, listed, allow_pickle=allow_pickle, remote_code=remote_code)
        wanted = [listed[path] for path in needed]
        copy = _Copy(repo, commit)
        for _ in range(_DAMAGED_TRIES):
            _fetch(copy, wanted, budget)
            damaged = [file for file in wanted if not file.is_same_as(copy.folder / file.path)]
            if not damaged:
                return copy.folder, tuple(file.path for file in wanted)
            for file in damaged:
                logger.warning("%s of %s is not what the Hub has; it is fetched again.", file.path, repo)
                copy.discard(file.path)
    raise HubUnavailable(
        f"{damaged[0].path} of the model {repo} arrived damaged {_DAMAGED_TRIES} times: its digest is not the one that "
        "the Hub states. Something on the way changes it; try again later, or from another network."
    )


class _Copy:
    """A model at one commit as it lies in the Hugging Face cache."""

    def __init__(self, repo: str, commit: str) -> None:
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        self.repo = repo
        self.commit = commit
        self.cache = Path(constants.HF_HUB_CACHE)
        root = self.cache / repo_folder_name(repo_id=repo, repo_type="model")
        self.folder = root / "snapshots" / commit
        self._blobs = root / "blobs"

    def missing(self, wanted: Iterable[RemoteFile]) -> list[RemoteFile]:
        """Files that are not there in their full length; a cut one is discarded."""
        missing = []
        for file in wanted:
            path = self.folder / file.path
            if path.exists() and path.stat().st_size != file.size:
                self.discard(file.path)
            if not path.exists():
                missing.append(file)
        return missing

    def to_fetch(self, missing: Iterable[RemoteFile]) -> int:
        """Bytes that are not in the cache under another commit either."""
        return sum(file.size for file in missing if not (self._blobs / file.digest).exists())

    def arrived(self, files: Iterable[RemoteFile]) -> int:
        """Bytes of these files that are on the disk, those of files under way included."""
        return sum(min(file.size, sum(map(_on_disk, self._blobs.glob(f"{file.digest}*")))) for file in files)

    def discard(self, name: str) -> None:
        """Take a file away with all that it is a link to."""
        path = self.folder / name
        while path.is_symlink():
            target = path.parent / path.readlink()
            path.unlink()
            path = target
        path.unlink(missing_ok=True)

    def remove_leftovers(self, files: Iterable[RemoteFile]) -> None:
        """Delete what killed downloads left; a file that grew within the last hour may be in use."""
        for file in files:
            for path in self._blobs.glob(f"{file.digest}.*.incomplete"):
                if _age(path) > _LEFTOVER_SECONDS:
                    path.unlink(missing_ok=True)


def _fetch(copy: _Copy, wanted: list[RemoteFile], budget: Budget) -> None:
    missing = copy.missing(wanted)
    if not missing:
        return
    copy.remove_leftovers(missing)
    total = copy.to_fetch(missing)
    require_room(total, copy.cache, f"the model {copy.repo}")
    logger.info("Downloading %s at %s: %d files, %s.", copy.repo, copy.commit[:12], len(missing), readable(total))
    with Watch(copy.repo, sum(file.size for file in missing), lambda: copy.arrived(missing)):
        _fetch_missing(copy, missing, budget)


def _fetch_missing(copy: _Copy, missing: list[RemoteFile], budget: Budget) -> None:
    from huggingface_hub import snapshot_download

    patterns = [glob.escape(file.path) for file in missing]
    tries = 0
    while True:
        tries += 1
        try:
            snapshot_download(copy.repo, revision=copy.commit, allow_patterns=patterns, max_workers=4)
        except Exception as error:
            left = copy.missing(missing)
            _require_not_full(copy, left, error)
            why = passing(error)
            if why is None:
                raise
            if len(left) < len(missing):
                budget.achieved()
            missing = left
            budget.pause(f"Download of {copy.repo}", why, tries)
        else:
            missing = copy.missing(missing)
            if not missing:
                return
            # The client falls back to what is in the cache when the Hub does not answer.
            budget.pause(f"Download of {copy.repo}", f"{len(missing)} files did not come", tries)


def _require_not_full(copy: _Copy, left: list[RemoteFile], error: Exception) -> None:
    """hf_xet tells a full disk in words only, so the disk itself is asked as well."""
    needed = copy.to_fetch(left)
    if any(getattr(link, "errno", None) in FULL for link in chain(error)) or needed > room_for(copy.cache).bytes:
        raise no_room(f"the model {copy.repo}", needed, copy.cache) from error


def _on_disk(path: Path) -> int:
    try:
        status = path.stat()
    except OSError:
        return 0
    # A file that is written in several places at once has its full length before it has its content.
    return min(status.st_size, status.st_blocks * 512) if path.suffix == ".incomplete" else status.st_size


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
