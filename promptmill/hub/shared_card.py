"""The card of a repository that people write in too."""

from __future__ import annotations

import logging
from dataclasses import replace

from promptmill.card.merging import marked, merged
from promptmill.hub.commits import CARD, Publication
from promptmill.hub.marker import MARKER, read_marker
from promptmill.hub.remote import RemoteRepo, small_file

logger = logging.getLogger(__name__)

OURS = "promptmill: "
"""What the title of a commit of ours begins with."""


class SharedCard:
    """Fits what is to be published to the card that is there, which may change between two commits.

    Args:
        overwrite: whether the card is replaced, whoever wrote it.
    """

    def __init__(self, repo: str, wanted: Publication, *, overwrite: bool) -> None:
        self._repo = repo
        self._wanted = wanted
        self._overwrite = overwrite
        self._there: tuple[str | None, Publication] | None = None
        self._said: set[str] = set()

    def beside(self, remote: RemoteRepo) -> Publication:
        """What is to be published, with the card that a repository of these files is to have.

        Raises:
            The exceptions of huggingface_hub; see `hub_errors`.
        """
        digest = remote.files[CARD].digest if CARD in remote.files else None
        if self._there is None or self._there[0] != digest:
            self._there = (digest, self._fitted(remote))
        return self._there[1]

    def _fitted(self, remote: RemoteRepo) -> Publication:
        wanted = self._wanted
        if CARD not in remote.files or self._overwrite or self._is_of_an_earlier_version(remote):
            cards = [marked(card.decode()) for card in (wanted.card, wanted.interim_card)]
            return replace(wanted, card=cards[0].encode(), interim_card=cards[1].encode())
        there = small_file(self._repo, remote, CARD)
        try:
            theirs = there.decode()
        except UnicodeDecodeError:
            self._say("The card is not UTF-8, so all of it stays as it is; --overwrite replaces it.")
            return replace(wanted, card=there, interim_card=there)
        first = MARKER not in remote.files
        card, interim = (merged(theirs, ours.decode(), first=first) for ours in (wanted.card, wanted.interim_card))
        for kept in card.kept:
            self._say(kept)
        return replace(wanted, card=card.text.encode(), interim_card=interim.text.encode())

    def _is_of_an_earlier_version(self, remote: RemoteRepo) -> bool:
        """Whether the card has no marks because a version that knew none wrote it, and nobody has touched it since."""
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        marker = read_marker(self._repo, remote)
        if not marker or "origin" in marker:
            return False
        found = HfApi().get_paths_info(self._repo, [CARD], expand=True, revision=remote.commit, repo_type="dataset")
        last = next((entry.last_commit for entry in found if isinstance(entry, RepoFile)), None)
        return last is not None and last.title.startswith(OURS)

    def _say(self, kept: str) -> None:
        if kept not in self._said:
            self._said.add(kept)
            logger.warning("%s: %s", self._repo, kept)
