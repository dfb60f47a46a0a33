"""Publishing: commits of bounded size until the repository holds exactly what it is to, whatever fails meanwhile."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from promptmill.errors import ConfigurationError, HubUnavailable
from promptmill.hub.claim import Claim
from promptmill.hub.commits import Publication, Step, next_step
from promptmill.hub.errors import hub_errors, page
from promptmill.hub.existing import require_ours, require_private
from promptmill.hub.patience import PUBLISHING, Budget, Patience
from promptmill.hub.remote import RemoteRepo, head_if_any, remote_head
from promptmill.hub.session import patient, xet_deadline
from promptmill.hub.shared_card import SharedCard
from promptmill.hub.space import readable
from promptmill.hub.trouble import asked_wait, passing, response_of, status_of

logger = logging.getLogger(__name__)

# What a kill, or a Hub that takes no more, can cost.
COMMIT_BYTES = 50_000_000
# A transfer may take the patience of one request and a second for each of so many bytes; more at each further try.
_SLOWEST = 100_000
# Somebody else's commit came first, or the Hub was busy with one: look, and plan again.
_LOOK_AGAIN = {409: "HTTP 409, the Hub is busy with another commit", 412: "HTTP 412, another commit came first"}


@dataclass(frozen=True)
class Target:
    """Where to publish.

    Attributes:
        private: whether the repository is made private if it has to be made; one that is public is then refused.
        overwrite: whether to replace what promptmill did not publish, or published from another run.
        fingerprint: of the run, which the repository has to be of.
    """

    repo: str
    fingerprint: str
    private: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Published:
    """Where a dataset is on the Hub: the commit that was read back and holds exactly the local files.

    Attributes:
        at: when that was seen, as an ISO 8601 time.
        commits: how many were made for it; 0 if all was there.
    """

    repo: str
    commit: str
    url: str
    at: str
    commits: int


def publish(
    wanted: Publication,
    target: Target,
    *,
    message: str,
    patience: Patience = PUBLISHING,
    commit_bytes: int = COMMIT_BYTES,
) -> Published:
    """Make the dataset repository hold exactly `wanted`; content that is there is not sent again.

    What people wrote in the card that is there stays, unless it is to be overwritten (`promptmill.card.merging`).

    Raises:
        AccessDenied, NotFound, HubUnavailable: see `hub_errors`.
        ConfigurationError: the repository is not ours to overwrite, or public where it was to be private; or the Hub
            refuses the card.
    """
    with patient(patience) as budget, hub_errors(target.repo, "dataset"):
        remote = _opened(target)
        if target.private:
            require_private(target.repo, remote)
        if not target.overwrite:
            require_ours(target.repo, remote, Claim.by_marker(target.fingerprint, wanted.marker))
        card = SharedCard(target.repo, wanted, overwrite=target.overwrite)
        remote, commits = _Publisher(card, target.repo, message, budget, commit_bytes).bring_about(remote)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Published(target.repo, remote.commit, page(target.repo, "dataset"), now, commits)


class _Publisher:
    """The loop of looking, planning and committing."""

    def __init__(self, card: SharedCard, repo: str, message: str, budget: Budget, commit_bytes: int) -> None:
        self._card = card
        self._repo = repo
        self._message = message
        self._budget = budget
        self._most = commit_bytes
        self._tries = 0

    def bring_about(self, remote: RemoteRepo) -> tuple[RemoteRepo, int]:
        """Commit until what is read back from the Hub is what is wanted; returns that, and how many commits it took."""
        commits, made = 0, None
        while (step := next_step(wanted := self._card.beside(remote), remote, most_bytes=self._most)) is not None:
            if step == made:
                raise HubUnavailable(f"The Hub took a commit to {self._repo} and does not show what it brought.")
            self._tries += 1
            try:
                self._commit(step, remote.commit)
            except Exception as error:
                self._recover(step, error)
            else:
                commits, made = commits + 1, step
                self._tries = 0
                self._budget.achieved()
                self._say(len(wanted.files), step)
            remote = remote_head(self._repo, "dataset")
        return remote, commits

    def _commit(self, step: Step, parent: str) -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        for file in step.files.values():
            file.require_sound()
        adds = [CommitOperationAdd(name, file.path) for name, file in step.files.items()]
        texts = [CommitOperationAdd(name, content) for name, content in step.texts.items()]
        removed = [CommitOperationDelete(name, is_folder=False) for name in step.removed]
        seconds = self._budget.patience.request_seconds + step.bytes / _SLOWEST
        with xet_deadline(min(seconds * self._tries, max(self._budget.left, 1))), _quietly(self._repo):
            HfApi().create_commit(
                self._repo,
                [*adds, *texts, *removed],
                commit_message=f"{self._message}{f', {step.left} files to come' if step.left else ''}",
                repo_type="dataset",
                parent_commit=parent,
            )

    def _recover(self, step: Step, error: Exception) -> None:
        """Wait, if another try can help; the caller then looks at what the repository holds by now."""
        from huggingface_hub import HfApi

        status = status_of(error)
        if status == 413 and len(step.files) > 1:
            self._most = max(1, step.bytes // 2)
            logger.warning("The Hub takes no %s at once (HTTP 413); sending less.", readable(step.bytes))
            return
        why = _LOOK_AGAIN.get(status or 0) or passing(error)
        if why is None:
            raise error
        response = response_of(error)
        wait = None if response is None else asked_wait(response)
        self._budget.pause(f"Commit to {self._repo}", why, self._tries, at_least=wait)
        # hf_xet does not tell a token that lost its rights from storage that fails.
        HfApi().auth_check(self._repo, repo_type="dataset", write=True)

    def _say(self, files: int, step: Step) -> None:
        logger.info("Published %d of %d files to %s.", files - step.left, files, self._repo)


def _opened(target: Target) -> RemoteRepo:
    """The repository as it is, made first if there is none."""
    from huggingface_hub import HfApi

    if (remote := head_if_any(target.repo, "dataset")) is not None:
        return remote
    HfApi().create_repo(target.repo, repo_type="dataset", private=target.private, exist_ok=True)
    return remote_head(target.repo, "dataset")


@contextmanager
def _quietly(repo: str) -> Iterator[None]:
    """Without the client's warnings, and with its complaint about a card as an error of ours.

    Raises:
        ConfigurationError: the Hub does not accept the card's metadata.
        HubUnavailable: the Hub answered with what is no answer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ValueError as error:
            if passing(error) is not None:
                raise
            if status_of(error) == 400:
                raise ConfigurationError(
                    f"The Hub refuses the card of {repo}: {error} Look at --license, --pretty-name and --tags."
                ) from error
            raise HubUnavailable(f"The Hub's answer about {repo} makes no sense: {error}") from error
