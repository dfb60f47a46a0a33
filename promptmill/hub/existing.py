"""What a dataset repository that is there already has to be, before a run may write to it."""

from __future__ import annotations

import logging
from typing import Any

from promptmill.errors import ConfigurationError
from promptmill.hub.claim import Claim
from promptmill.hub.differing import differing
from promptmill.hub.errors import page
from promptmill.hub.marker import BORN_WITH, MARKER, Origin, read_marker
from promptmill.hub.remote import RemoteRepo

logger = logging.getLogger(__name__)

_WAY = "Choose another name with --publish-to, or replace it with --overwrite."


def require_private(repo: str, remote: RemoteRepo) -> None:
    """Refuse a repository that everybody can read.

    Raises:
        ConfigurationError: it is public; says how to go on.
    """
    if remote.private is False:
        raise ConfigurationError(
            f"--private was given, and the dataset {repo} exists and is public: everybody could read what is published "
            f"there. Make it private on {page(repo, 'dataset')}/settings, choose another name with --publish-to, or "
            "leave --private out."
        )


def say_if_renamed(repo: str, remote: RemoteRepo) -> None:
    """Tell if the Hub has a dataset under another name by now, to which it still leads from the old one."""
    if remote.name not in ("", repo):
        logger.warning("The dataset %s is called %s on the Hub. Give --publish-to %s.", repo, remote.name, remote.name)


def require_ours(repo: str, remote: RemoteRepo, claim: Claim) -> None:
    """Refuse a repository that promptmill did not make, or made from another run.

    Raises:
        ConfigurationError: it is another's; says what differs, and how to go on.
        The exceptions of huggingface_hub; see `hub_errors`.
    """
    if MARKER not in remote.files:
        if not BORN_WITH.issuperset(remote.files):
            raise ConfigurationError(f"The dataset {repo} holds files that promptmill did not publish. {_WAY}")
        return
    marker = read_marker(repo, remote)
    if claim.fingerprint is not None and marker.get("fingerprint") == claim.fingerprint:
        return
    told = differing(_origin(marker), claim.origin or {}, claim.digest_of_first)
    if told:
        raise ConfigurationError(f"The dataset {repo} was published from another run: {'; '.join(told)}. {_WAY}")
    if claim.fingerprint is not None:
        raise ConfigurationError(
            f"The dataset {repo} was published from a run with other settings (see {MARKER} in it; "
            f"this run's fingerprint is {claim.fingerprint[:12]}…). {_WAY}"
        )


def say_what_goes(repo: str, remote: RemoteRepo, claim: Claim) -> None:
    """Tell what --overwrite replaces in a repository, before anything is done.

    Raises:
        The exceptions of huggingface_hub; see `hub_errors`.
    """
    data = [name for name in remote.files if name.startswith("data/")]
    parts = [f"{len(data):,} {'file' if len(data) == 1 else 'files'} in data/"] if data else []
    parts += ["the card README.md with all that people wrote in it"] if "README.md" in remote.files else []
    if not parts:
        return
    marker = read_marker(repo, remote)
    if not marker:
        whose = "promptmill did not publish it"
    elif claim.fingerprint is not None and marker.get("fingerprint") == claim.fingerprint:
        whose = "it is this run's own"
    else:
        told = differing(_origin(marker), claim.origin or {}, claim.digest_of_first)
        whose = f"it was published from another run: {'; '.join(told)}" if told else "promptmill published it"
    others = sorted(set(remote.files) - set(data) - {MARKER, "README.md", ".gitattributes"})
    stays = f" {len(others):,} other {'file stays' if len(others) == 1 else 'files stay'}." if others else ""
    logger.warning("--overwrite replaces in the dataset %s: %s (%s).%s", repo, " and ".join(parts), whose, stays)


def _origin(marker: dict[str, Any]) -> Origin:
    origin = marker.get("origin")
    return origin if isinstance(origin, dict) else {}
