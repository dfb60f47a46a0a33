"""Whether a dataset that was published is still on the Hub as it was; said only after looking."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache

from promptmill.assemble import recorded_dataset
from promptmill.card import CardOptions
from promptmill.errors import AccessDenied, HubUnavailable
from promptmill.files import read_json
from promptmill.hub.account import token_source
from promptmill.hub.commits import LocalFile
from promptmill.hub.errors import hub_errors
from promptmill.hub.existing import require_private, say_if_renamed
from promptmill.hub.marker import read_marker
from promptmill.hub.patience import LOOKING
from promptmill.hub.publication import data_files, is_published
from promptmill.hub.publish import Target
from promptmill.hub.remote import RemoteRepo, head_if_any
from promptmill.hub.session import patient
from promptmill.run import RunFolder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """What was found on the Hub.

    Attributes:
        published: whether nothing is left to do.
        unseen: why the Hub was not asked; None if it was.
    """

    published: bool
    unseen: str | None = None


def look(run: RunFolder, target: Target, options: CardOptions) -> Look:
    """Whether this very dataset is where it is to be published, with this card.

    Where the Hub cannot be asked, what was written down counts.

    Raises:
        ConfigurationError: the dataset was to be private, and is public.
    """
    if not is_published(run, target.repo, options):
        return Look(False)
    record = read_json(run.published) or {}
    return _looked(run, target, str(record.get("commit")), str(record.get("url")))


def where_published(run: RunFolder, unseen: str | None) -> str:
    """A sentence on where a dataset is, for people."""
    record = read_json(run.published) or {}
    if unseen is None:
        return f"It is published at {record.get('url')}, commit {record.get('commit')}"
    return (
        f"It was published at {record.get('url')} on {record.get('at')}, commit {record.get('commit')}; not looked at "
        f"now: {unseen}"
    )


@lru_cache(maxsize=8)
def _looked(run: RunFolder, target: Target, commit: str, _url: str) -> Look:
    # Once a process and publication: Luigi asks several times whether a task is complete.
    try:
        with patient(LOOKING), hub_errors(target.repo, "dataset"):
            remote = head_if_any(target.repo, "dataset")
            if remote is None and token_source() is None:
                return Look(True, "there is no token, and without one the Hub does not show it")
            if remote is None:
                logger.warning("The dataset %s is not on the Hub any more; it is published again.", target.repo)
                return Look(False)
            return Look(_is_as_it_was(run, target, remote, commit))
    except (HubUnavailable, AccessDenied) as error:
        return Look(True, str(error))


def _is_as_it_was(run: RunFolder, target: Target, remote: RemoteRepo, commit: str) -> bool:
    say_if_renamed(target.repo, remote)
    if target.private:
        require_private(target.repo, remote)
    dataset = recorded_dataset(run)
    if remote.commit == commit or dataset is None:
        return True
    if read_marker(target.repo, remote).get("fingerprint") != target.fingerprint:
        return False  # Publishing says whose it is.
    files = data_files(run, dataset.files)
    missing = [name for name in files if name not in remote.files]
    if missing:
        logger.warning("%s has no %s any more; it is published again.", target.repo, _some(missing))
        return False
    changed = [name for name, file in files.items() if not _is_same(file, remote, name)]
    if changed:
        way = "is replaced, as --overwrite says" if target.overwrite else "stays; --overwrite puts this run's back"
        logger.warning("%s of %s was changed on the Hub by somebody else, and %s.", _some(changed), target.repo, way)
    return not (changed and target.overwrite)


def _is_same(file: LocalFile, remote: RemoteRepo, name: str) -> bool:
    return file.is_same_as(remote.files[name])


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
