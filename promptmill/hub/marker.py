"""The file in a dataset repository that says: promptmill made this, from a run of this fingerprint.

It is a part of the first commit, so that a publication that was interrupted knows its own again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from promptmill.errors import ConfigurationError
from promptmill.hub.remote import RemoteFile

MARKER = ".promptmill.json"
_FORMAT = 1
# What a repository has from the moment it is made on the Hub's page.
_BORN_WITH = frozenset({".gitattributes", "README.md", "LICENSE"})


def marker_content(fingerprint: str) -> bytes:
    """The marker of a run."""
    return (json.dumps({"promptmill": _FORMAT, "fingerprint": fingerprint}) + "\n").encode()


def require_ours(repo: str, files: Mapping[str, RemoteFile], fingerprint: str | None = None) -> None:
    """Refuse a dataset repository with these files that promptmill did not make, or made from another run.

    Args:
        fingerprint: of the run; None while it is not known yet.

    Raises:
        ConfigurationError: it is another's; says how to go on.
    """
    way = "Choose another name with --publish-to, or replace it with --overwrite."
    if MARKER not in files:
        if not _BORN_WITH.issuperset(files):
            raise ConfigurationError(f"The dataset {repo} holds files that promptmill did not publish. {way}")
    elif fingerprint is not None and not files[MARKER].holds(marker_content(fingerprint)):
        raise ConfigurationError(
            f"The dataset {repo} was published from a run with other settings (see {MARKER} in it; "
            f"this run's fingerprint is {fingerprint[:12]}…). {way}"
        )
